package doctor_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/connectum-go/connectum/cmd/connectum/internal/doctor"
	"github.com/connectum-go/connectum/internal/certs"
)

const day = 24 * time.Hour

// certificate makes one of a year that ends so long from now.
func certificate(t *testing.T, left time.Duration) string {
	t.Helper()
	return string(certs.NewCA(t).Sign(t, certs.Leaf{Hosts: []string{"api.example.com"}, NotBefore: time.Now().Add(left - 365*day), NotAfter: time.Now().Add(left)}).CertPEM)
}

func TestCertificatesThatEndAreFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		left     time.Duration
		severity doctor.Severity
		says     string
	}{
		{-time.Hour, doctor.Error, "has expired on"},
		{3 * day, doctor.Error, "expires on"},
		{20 * day, doctor.Warning, "expires on"},
		{90 * day, "", ""},
	} {
		pem := certificate(t, c.left)
		for where, archive := range map[string]string{
			"certs/tls.crt":     "-- certs/tls.crt --\n" + pem,
			"deploy/tls.yaml:1": "-- deploy/tls.yaml --\napiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\ndata:\n  tls.crt: " + base64.StdEncoding.EncodeToString([]byte(pem)) + "\n",
		} {
			p, err := doctor.Load(lay(t, archive))
			if err != nil {
				t.Fatal(err)
			}
			got := doctor.Diagnose(p, nil)
			if c.severity == "" {
				if len(got) > 0 {
					t.Errorf("%v left, in %s: %+v", c.left, where, got)
				}
				continue
			}
			if len(got) != 1 || got[0].Check != "certificate-expiry" || got[0].Severity != c.severity || got[0].Where != where || !strings.Contains(got[0].Problem, "api.example.com "+c.says) {
				t.Errorf("%v left, in %s: %+v", c.left, where, got)
			}
		}
	}
}

// Those that live for a day are renewed every few hours, and are no cause for
// alarm until they have ended.
func TestCertificatesThatLiveForADayAreNoAlarm(t *testing.T) {
	t.Parallel()
	pem := string(certs.NewCA(t).Sign(t, certs.Leaf{Hosts: []string{"a"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(day)}).CertPEM)
	p, err := doctor.Load(lay(t, "-- a.pem --\n"+pem))
	if err != nil {
		t.Fatal(err)
	}
	if got := doctor.Diagnose(p, nil); len(got) > 0 {
		t.Errorf("%+v", got)
	}
}
