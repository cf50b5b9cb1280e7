package fake_test

import (
	"net/mail"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/connectum-go/connectum/connectumtest/fake"
	faketestv1 "github.com/connectum-go/connectum/internal/gen/connectum/fake/test/v1"
)

func TestNamesSayWhatValuesMean(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		msg := new(faketestv1.Names)
		if err := fake.New(seed).Fill(msg); err != nil {
			t.Fatal(err)
		}
		expect := func(field protoreflect.Name, ok bool) {
			t.Helper()
			if !ok {
				desc := msg.ProtoReflect().Descriptor().Fields().ByName(field)
				t.Fatalf("seed %d: %s is %v", seed, field, msg.ProtoReflect().Get(desc))
			}
		}
		_, err := mail.ParseAddress(msg.GetBillingEmail())
		expect("billing_email", err == nil && strings.Contains(msg.GetBillingEmail(), "@example."))
		link, err := url.Parse(msg.GetWebsiteUrl())
		expect("website_url", err == nil && link.Scheme == "https" && link.Host != "")
		expect("user_id", matches(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, msg.GetUserId()))
		expect("mobile_phone", matches(`^\+1[0-9]{3}55501[0-9]{2}$`, msg.GetMobilePhone()))
		expect("name", matches(`^\S+ \S+`, msg.GetName()))
		expect("firstName", matches(`^[A-Z]\S*$`, msg.GetFirstName()))
		expect("city", matches(`^\p{Lu}\p{L}`, msg.GetCity()))
		expect("home_country", matches(`^\p{Lu}\p{L}`, msg.GetHomeCountry()))
		expect("currency", matches(`^[A-Z]{3}$`, msg.GetCurrency()))
		expect("price", msg.GetPrice() >= 1 && msg.GetPrice() <= 1000)
		expect("latitude", msg.GetLatitude() >= -90 && msg.GetLatitude() <= 90)
		expect("age", msg.GetAge() >= 18 && msg.GetAge() <= 90)
		expect("description", strings.Count(msg.GetDescription(), " ") > 3)
		for _, tag := range msg.GetTags() {
			expect("tags", tag != "")
		}
		expect("created_at", msg.GetCreatedAt().AsTime().Before(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)))
		expect("expires_at", msg.GetExpiresAt().AsTime().After(time.Date(2029, 1, 1, 0, 0, 0, 0, time.UTC)))
		expect("update_mask", len(msg.GetUpdateMask().GetPaths()) > 0 && msg.GetUpdateMask().IsValid(new(faketestv1.Address)))
	}
}

func matches(expr, s string) bool { return regexp.MustCompile(expr).MatchString(s) }
