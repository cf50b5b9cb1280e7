package fake

import (
	"math/big"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// word makes a text for a field, meant by its name: the whole name counts
// first (first_name), then its last two words, then the last one, so that
// billing_email is an email address and shipping_postal_code a postal code.
func (d draw) word(field protoreflect.FieldDescriptor) string {
	for _, key := range keys(string(field.Name())) {
		if key == "name" {
			return d.naming(field)
		}
		if text, ok := words[key]; ok {
			return text(d)
		}
	}
	return d.words.Noun()
}

// naming makes a name for what the message is about; a person where nothing
// else is known.
func (d draw) naming(field protoreflect.FieldDescriptor) string {
	about := strings.ToLower(string(field.Parent().Name()))
	for _, kind := range namings {
		if strings.Contains(about, kind.about) {
			return kind.name(d)
		}
	}
	return d.words.Name()
}

var namings = []struct {
	about string
	name  func(draw) string
}{
	{"city", func(d draw) string { return d.words.City() }},
	{"country", func(d draw) string { return d.words.Country() }},
	{"company", func(d draw) string { return d.words.Company() }},
	{"organi", func(d draw) string { return d.words.Company() }},
	{"product", func(d draw) string { return d.words.ProductName() }},
	{"item", func(d draw) string { return d.words.ProductName() }},
	{"pet", func(d draw) string { return d.words.PetName() }},
	{"book", func(d draw) string { return d.words.BookTitle() }},
	{"file", fileName},
}

// keys gives the names a field may be known by, the most telling first, in
// lower case and in the singular.
func keys(name string) []string {
	parts := strings.Split(snake(name), "_")
	last := parts[len(parts)-1]
	whole := strings.Join(parts, "_")
	out := []string{whole}
	if len(parts) > 2 {
		out = append(out, strings.Join(parts[len(parts)-2:], "_"))
	}
	if len(parts) > 1 {
		out = append(out, last)
	}
	for _, key := range out[:len(out):len(out)] {
		if one, ok := strings.CutSuffix(key, "ies"); ok {
			out = append(out, one+"y")
		} else if one, ok := strings.CutSuffix(key, "sses"); ok {
			out = append(out, one+"ss")
		} else if one, ok := strings.CutSuffix(key, "s"); ok {
			out = append(out, one)
		}
	}
	return out
}

// snake turns camelCase names into snake_case; others stay.
func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if 'A' <= r && r <= 'Z' {
			if i > 0 && name[i-1] != '_' && (name[i-1] < 'A' || name[i-1] > 'Z') {
				b.WriteByte('_')
			}
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// words makes texts by field name. Addresses of mail and web are of the
// domains RFC 2606 reserves and phone numbers of the range 555-01xx, so that
// a fake that leaks into the world reaches nobody.
var words = map[string]func(draw) string{
	"email":            func(d draw) string { return email(d, 0) },
	"mail":             func(d draw) string { return email(d, 0) },
	"email_address":    func(d draw) string { return email(d, 0) },
	"full_name":        func(d draw) string { return d.words.Name() },
	"display_name":     func(d draw) string { return d.words.Name() },
	"author":           func(d draw) string { return d.words.Name() },
	"owner":            func(d draw) string { return d.words.Name() },
	"first_name":       func(d draw) string { return d.words.FirstName() },
	"given_name":       func(d draw) string { return d.words.FirstName() },
	"middle_name":      func(d draw) string { return d.words.MiddleName() },
	"last_name":        func(d draw) string { return d.words.LastName() },
	"family_name":      func(d draw) string { return d.words.LastName() },
	"surname":          func(d draw) string { return d.words.LastName() },
	"nickname":         func(d draw) string { return d.words.FirstName() },
	"username":         username,
	"user_name":        username,
	"login":            username,
	"handle":           username,
	"password":         func(d draw) string { return d.letters(16, lower+digits) },
	"token":            func(d draw) string { return d.letters(32, hexLower) },
	"secret":           func(d draw) string { return d.letters(32, hexLower) },
	"api_key":          func(d draw) string { return d.letters(32, hexLower) },
	"hash":             func(d draw) string { return d.letters(64, hexLower) },
	"checksum":         func(d draw) string { return d.letters(64, hexLower) },
	"etag":             func(d draw) string { return d.letters(16, hexLower) },
	"id":               uuid,
	"uuid":             uuid,
	"guid":             uuid,
	"uid":              uuid,
	"page_token":       func(d draw) string { return d.letters(24, hexLower) },
	"next_page_token":  func(d draw) string { return d.letters(24, hexLower) },
	"phone":            phone,
	"phone_number":     phone,
	"mobile":           phone,
	"fax":              phone,
	"company":          func(d draw) string { return d.words.Company() },
	"company_name":     func(d draw) string { return d.words.Company() },
	"organization":     func(d draw) string { return d.words.Company() },
	"organisation":     func(d draw) string { return d.words.Company() },
	"job":              func(d draw) string { return d.words.JobTitle() },
	"job_title":        func(d draw) string { return d.words.JobTitle() },
	"department":       func(d draw) string { return d.words.ProductCategory() },
	"street":           func(d draw) string { return d.words.Street() },
	"address":          func(d draw) string { return d.words.Street() + ", " + d.words.City() },
	"street_address":   func(d draw) string { return d.words.Street() },
	"address_line":     func(d draw) string { return d.words.Street() },
	"city":             func(d draw) string { return d.words.City() },
	"town":             func(d draw) string { return d.words.City() },
	"locality":         func(d draw) string { return d.words.City() },
	"state":            func(d draw) string { return d.words.State() },
	"province":         func(d draw) string { return d.words.State() },
	"region":           func(d draw) string { return d.words.State() },
	"zip":              func(d draw) string { return d.words.Zip() },
	"zip_code":         func(d draw) string { return d.words.Zip() },
	"postal_code":      func(d draw) string { return d.words.Zip() },
	"postcode":         func(d draw) string { return d.words.Zip() },
	"country":          func(d draw) string { return d.words.Country() },
	"country_code":     func(d draw) string { return d.words.CountryAbr() },
	"region_code":      func(d draw) string { return d.words.CountryAbr() },
	"language":         func(d draw) string { return d.words.Language() },
	"language_code":    func(d draw) string { return pick(d, []string{"en", "de", "fr", "es", "pt-BR", "ja"}) },
	"locale":           func(d draw) string { return pick(d, []string{"en-US", "de-DE", "fr-FR", "pt-BR", "ja-JP"}) },
	"timezone":         func(d draw) string { return d.words.TimeZoneRegion() },
	"time_zone":        func(d draw) string { return d.words.TimeZoneRegion() },
	"currency":         func(d draw) string { return d.words.CurrencyShort() },
	"currency_code":    func(d draw) string { return d.words.CurrencyShort() },
	"price":            amount,
	"amount":           amount,
	"total":            amount,
	"url":              func(d draw) string { return uri(d, 0) },
	"uri":              func(d draw) string { return uri(d, 0) },
	"link":             func(d draw) string { return uri(d, 0) },
	"website":          func(d draw) string { return uri(d, 0) },
	"homepage":         func(d draw) string { return uri(d, 0) },
	"avatar":           func(d draw) string { return uri(d, 0) + ".png" },
	"domain":           func(d draw) string { return hostname(d, 0) },
	"host":             func(d draw) string { return hostname(d, 0) },
	"hostname":         func(d draw) string { return hostname(d, 0) },
	"ip":               func(d draw) string { return ipv4(d) },
	"ip_address":       func(d draw) string { return ipv4(d) },
	"mac_address":      func(d draw) string { return d.words.MacAddress() },
	"user_agent":       func(d draw) string { return d.words.APIUserAgent() },
	"method":           func(d draw) string { return pick(d, []string{"GET", "POST", "PUT", "DELETE"}) },
	"path":             func(d draw) string { return "/" + slug(d) + "/" + slug(d) },
	"slug":             slug,
	"key":              slug,
	"file":             fileName,
	"file_name":        fileName,
	"filename":         fileName,
	"mime_type":        mimeType,
	"content_type":     mimeType,
	"version":          version,
	"color":            func(d draw) string { return strings.ToLower(d.words.Color()) },
	"colour":           func(d draw) string { return strings.ToLower(d.words.Color()) },
	"product":          func(d draw) string { return d.words.ProductName() },
	"product_name":     func(d draw) string { return d.words.ProductName() },
	"sku":              func(d draw) string { return strings.ToUpper(d.letters(3, lower)) + "-" + d.letters(5, digits) },
	"category":         func(d draw) string { return d.words.ProductCategory() },
	"tag":              func(d draw) string { return d.words.Noun() },
	"label":            func(d draw) string { return d.words.Noun() },
	"title":            title,
	"subject":          title,
	"headline":         title,
	"description":      sentence,
	"summary":          sentence,
	"comment":          sentence,
	"note":             sentence,
	"message":          sentence,
	"text":             sentence,
	"body":             sentence,
	"content":          sentence,
	"bio":              sentence,
	"reason":           sentence,
	"greeting":         func(d draw) string { return "Hello, " + d.words.FirstName() + "!" },
	"date":             func(d draw) string { return day(d) },
	"birthday":         func(d draw) string { return day(d) },
	"created_at":       func(d draw) string { return day(d) + "T" + clock(d) + "Z" },
	"updated_at":       func(d draw) string { return day(d) + "T" + clock(d) + "Z" },
	"gender":           func(d draw) string { return d.words.Gender() },
	"type_url":         func(draw) string { return "type.googleapis.com/google.protobuf.StringValue" },
	"kind":             func(d draw) string { return d.words.Noun() },
	"permission":       func(d draw) string { return slug(d) + ":" + pick(d, []string{"read", "write"}) },
	"role":             func(d draw) string { return pick(d, []string{"viewer", "editor", "owner"}) },
	"status":           func(d draw) string { return pick(d, []string{"active", "pending", "done"}) },
	"bank":             func(d draw) string { return d.words.BankName() },
	"book":             func(d draw) string { return d.words.BookTitle() },
	"animal":           func(d draw) string { return d.words.Animal() },
	"pet":              func(d draw) string { return d.words.PetName() },
	"vehicle":          func(d draw) string { return d.words.CarModel() },
	"isbn":             func(d draw) string { return "978" + d.letters(10, digits) },
	"traceparent":      func(d draw) string { return "00-" + d.letters(32, hexLower) + "-" + d.letters(16, hexLower) + "-01" },
	"certificate_name": func(d draw) string { return hostname(d, 0) },
}

// numberWindow says where a whole number of the name usually lies.
func numberWindow(name string) span {
	for _, key := range keys(name) {
		if w, ok := numbers[key]; ok {
			return span{big.NewInt(w[0]), big.NewInt(w[1])}
		}
	}
	return span{big.NewInt(1), big.NewInt(1000)}
}

var numbers = map[string][2]int64{
	"age":        {18, 90},
	"year":       {1990, 2025},
	"month":      {1, 12},
	"day":        {1, 28},
	"hour":       {0, 23},
	"minute":     {0, 59},
	"second":     {0, 59},
	"nano":       {0, 999_999_999},
	"percent":    {0, 100},
	"percentage": {0, 100},
	"port":       {1024, 65535},
	"quantity":   {1, 20},
	"count":      {0, 100},
	"page":       {1, 20},
	"page_size":  {10, 100},
	"rating":     {1, 5},
	"id":         {1, 1_000_000},
	"size":       {1, 1 << 20},
	"size_bytes": {1, 1 << 20},
	"timestamp":  {1_577_836_800, 1_767_225_599}, // 2020 to 2025, in Unix seconds
	"created_at": {1_577_836_800, 1_767_225_599},
	"updated_at": {1_577_836_800, 1_767_225_599},
}

// realWindow says where a number with a fraction of the name usually lies.
func realWindow(name string) (from, to float64) {
	for _, key := range keys(name) {
		if w, ok := reals[key]; ok {
			return w[0], w[1]
		}
	}
	return 1, 1000
}

var reals = map[string][2]float64{
	"latitude":    {-90, 90},
	"lat":         {-90, 90},
	"longitude":   {-180, 180},
	"lng":         {-180, 180},
	"lon":         {-180, 180},
	"percent":     {0, 100},
	"percentage":  {0, 100},
	"ratio":       {0, 1},
	"probability": {0, 1},
	"fraction":    {0, 1},
	"score":       {0, 1},
	"rating":      {1, 5},
	"temperature": {-20, 40},
	"age":         {18, 90},
	"weight":      {0.1, 100},
	"tax_rate":    {0, 0.25},
}
