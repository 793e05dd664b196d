//! Writes X.509 certificates. A certificate of Teleport's names every role of its user in a subject attribute of its own;
//! rcgen's distinguished names hold each attribute once, so the few lines of DER are written here.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rcgen::{KeyPair, PublicKeyData, SigningKey};
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use yasna::models::ObjectIdentifier;
use yasna::tags::{TAG_GENERALIZEDTIME, TAG_UTCTIME};
use yasna::{DERWriter, Tag};

/// Object identifiers, dotted.
pub(crate) mod oid {
    pub(crate) const COMMON_NAME: &[u64] = &[2, 5, 4, 3];
    pub(crate) const SERIAL_NUMBER: &[u64] = &[2, 5, 4, 5];
    pub(crate) const LOCALITY: &[u64] = &[2, 5, 4, 7];
    pub(crate) const ORGANIZATION: &[u64] = &[2, 5, 4, 10];
    /// Teleport's own subject attribute for the cluster that issued a user certificate.
    pub(crate) const TELEPORT_CLUSTER: &[u64] = &[1, 3, 9999, 1, 7];

    pub(super) const SUBJECT_KEY_ID: &[u64] = &[2, 5, 29, 14];
    pub(super) const KEY_USAGE: &[u64] = &[2, 5, 29, 15];
    pub(super) const ALT_NAME: &[u64] = &[2, 5, 29, 17];
    pub(super) const BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];
    pub(super) const AUTHORITY_KEY_ID: &[u64] = &[2, 5, 29, 35];
    pub(super) const EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];
    pub(super) const SERVER_AUTH: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 1];
    pub(super) const CLIENT_AUTH: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 2];
    pub(super) const ECDSA_SHA256: &[u64] = &[1, 2, 840, 10045, 4, 3, 2];
    pub(super) const RSA_SHA256: &[u64] = &[1, 2, 840, 113_549, 1, 1, 11];
}

/// An ordered list of subject attributes; the same attribute may occur several times.
pub(crate) type Name = Vec<(&'static [u64], String)>;

/// What a certificate says.
pub(crate) struct Contents<'a> {
    pub(crate) subject: &'a Name,
    pub(crate) public_key: &'a dyn PublicKeyData,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
    pub(crate) authority: bool,
    pub(crate) dns_names: &'a [String],
    pub(crate) addresses: &'a [IpAddr],
}

/// Who signs it.
pub(crate) struct Issuer<'a> {
    pub(crate) name: &'a Name,
    pub(crate) key: &'a KeyPair,
}

/// Writes and signs a certificate.
pub(crate) fn sign(contents: &Contents<'_>, issuer: &Issuer<'_>) -> Result<CertificateDer<'static>, rcgen::Error> {
    let to_be_signed = yasna::construct_der(|writer| write_tbs(writer, contents, issuer));
    let signature = issuer.key.sign(&to_be_signed)?;
    let der = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_der(&to_be_signed);
            write_algorithm(writer.next(), issuer.key);
            writer.next().write_bitvec_bytes(&signature, signature.len() * 8);
        });
    });
    Ok(CertificateDer::from(der))
}

fn write_tbs(writer: DERWriter<'_>, contents: &Contents<'_>, issuer: &Issuer<'_>) {
    writer.write_sequence(|writer| {
        writer.next().write_tagged(Tag::context(0), |writer| writer.write_u8(2));
        // Positive and never zero: the top bit is cleared, the lowest set.
        let serial = (rand::random::<u128>() >> 1) | 1;
        writer.next().write_bigint_bytes(&serial.to_be_bytes(), true);
        write_algorithm(writer.next(), issuer.key);
        write_name(writer.next(), issuer.name);
        writer.next().write_sequence(|writer| {
            write_time(writer.next(), contents.not_before);
            write_time(writer.next(), contents.not_after);
        });
        write_name(writer.next(), contents.subject);
        writer.next().write_der(&contents.public_key.subject_public_key_info());
        writer.next().write_tagged(Tag::context(3), |writer| {
            writer.write_sequence(|writer| {
                for (name, critical, value) in extensions(contents, issuer) {
                    writer.next().write_sequence(|writer| {
                        writer.next().write_oid(&ObjectIdentifier::from_slice(name));
                        if critical {
                            writer.next().write_bool(true);
                        }
                        writer.next().write_bytes(&value);
                    });
                }
            });
        });
    });
}

fn extensions(contents: &Contents<'_>, issuer: &Issuer<'_>) -> Vec<(&'static [u64], bool, Vec<u8>)> {
    let key_id =
        |key: &dyn PublicKeyData| Sha256::digest(key.der_bytes()).iter().copied().take(20).collect::<Vec<u8>>();
    let constraints = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            if contents.authority {
                writer.next().write_bool(true);
            }
        });
    });
    // Bits from the left: digitalSignature, keyEncipherment; for authorities also keyCertSign and cRLSign.
    let (usage, bits) = if contents.authority { (0b1010_0110, 7) } else { (0b1010_0000, 3) };
    let usage = yasna::construct_der(|writer| writer.write_bitvec_bytes(&[usage], bits));
    let subject_key = yasna::construct_der(|writer| writer.write_bytes(&key_id(contents.public_key)));
    let authority_key = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_tagged_implicit(Tag::context(0), |writer| writer.write_bytes(&key_id(issuer.key)));
        });
    });
    let mut list = vec![
        (oid::BASIC_CONSTRAINTS, true, constraints),
        (oid::KEY_USAGE, true, usage),
        (oid::SUBJECT_KEY_ID, false, subject_key),
        (oid::AUTHORITY_KEY_ID, false, authority_key),
    ];
    if !contents.authority {
        let purposes = yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                for purpose in [oid::SERVER_AUTH, oid::CLIENT_AUTH] {
                    writer.next().write_oid(&ObjectIdentifier::from_slice(purpose));
                }
            });
        });
        list.push((oid::EXTENDED_KEY_USAGE, false, purposes));
    }
    if !contents.dns_names.is_empty() || !contents.addresses.is_empty() {
        list.push((oid::ALT_NAME, false, yasna::construct_der(|writer| write_alt_names(writer, contents))));
    }
    list
}

fn write_alt_names(writer: DERWriter<'_>, contents: &Contents<'_>) {
    writer.write_sequence(|writer| {
        for name in contents.dns_names {
            writer.next().write_tagged_implicit(Tag::context(2), |writer| writer.write_ia5_string(name));
        }
        for address in contents.addresses {
            let bytes = match address {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            };
            writer.next().write_tagged_implicit(Tag::context(7), |writer| writer.write_bytes(&bytes));
        }
    });
}

fn write_algorithm(writer: DERWriter<'_>, key: &KeyPair) {
    let rsa = key.is_compatible(&rcgen::PKCS_RSA_SHA256);
    writer.write_sequence(|writer| {
        let name = if rsa { oid::RSA_SHA256 } else { oid::ECDSA_SHA256 };
        writer.next().write_oid(&ObjectIdentifier::from_slice(name));
        if rsa {
            writer.next().write_null();
        }
    });
}

fn write_name(writer: DERWriter<'_>, name: &Name) {
    writer.write_sequence(|writer| {
        for (attribute, value) in name {
            writer.next().write_set(|writer| {
                writer.next().write_sequence(|writer| {
                    writer.next().write_oid(&ObjectIdentifier::from_slice(attribute));
                    writer.next().write_utf8_string(value);
                });
            });
        }
    });
}

/// RFC 5280: `UTCTime` through 2049, `GeneralizedTime` from 2050.
fn write_time(writer: DERWriter<'_>, time: SystemTime) {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let time = Timestamp::from_second(i64::try_from(seconds).unwrap_or(i64::MAX)).unwrap_or(Timestamp::MAX);
    let time = time.to_zoned(TimeZone::UTC);
    let (tag, text) = if time.year() < 2050 {
        (TAG_UTCTIME, time.strftime("%y%m%d%H%M%SZ").to_string())
    } else {
        (TAG_GENERALIZEDTIME, time.strftime("%Y%m%d%H%M%SZ").to_string())
    };
    writer.write_tagged_implicit(tag, |writer| writer.write_bytes(text.as_bytes()));
}

/// The text form of a DER object.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let body = STANDARD.encode(der);
    let lines: Vec<_> = body.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
