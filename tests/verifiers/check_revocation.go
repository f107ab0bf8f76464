// Checks leaves against a CRL with Go's crypto/x509: ROOT CA CRL LEAF..., all in PEM. Prints one line per leaf.
package main

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"log"
	"os"
)

var idReasonCode = asn1.ObjectIdentifier{2, 5, 29, 21}

// RFC 5280, section 5.3.1.
var reasons = map[asn1.Enumerated]string{
	1: "keyCompromise", 3: "affiliationChanged", 4: "superseded", 5: "cessationOfOperation",
	6: "certificateHold", 9: "privilegeWithdrawn",
}

func main() {
	log.SetFlags(0)
	root, ca := certificate(os.Args[1]), certificate(os.Args[2])
	crl, err := x509.ParseRevocationList(octets(os.Args[3]))
	check(err)
	check(crl.CheckSignatureFrom(ca))
	for _, path := range os.Args[4:] {
		fmt.Println(status(certificate(path), crl, ca, root))
	}
}

func status(leaf *x509.Certificate, crl *x509.RevocationList, ca, root *x509.Certificate) string {
	options := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	options.Roots.AddCert(root)
	options.Intermediates.AddCert(ca)
	_, err := leaf.Verify(options)
	check(err)
	for _, entry := range crl.RevokedCertificates {
		if entry.SerialNumber.Cmp(leaf.SerialNumber) != 0 {
			continue
		}
		for _, extension := range entry.Extensions {
			if extension.Id.Equal(idReasonCode) {
				var reason asn1.Enumerated
				_, err := asn1.Unmarshal(extension.Value, &reason)
				check(err)
				return reasons[reason]
			}
		}
		return "unspecified"
	}
	return "good"
}

func certificate(path string) *x509.Certificate {
	certificate, err := x509.ParseCertificate(octets(path))
	check(err)
	return certificate
}

func octets(path string) []byte {
	file, err := os.ReadFile(path)
	check(err)
	block, _ := pem.Decode(file)
	if block == nil {
		log.Fatalf("%s is not PEM", path)
	}
	return block.Bytes
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
