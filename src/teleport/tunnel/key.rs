//! SSH public keys and signatures, verified and made by ring.

use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use rustls::SignatureScheme;
use rustls::sign::SigningKey;

use crate::teleport::tunnel::wire::{Damaged, Reader, Writer, without_leading_zeros};

/// A public key in SSH's encoding, and what it takes to check signatures by it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PublicKey {
    blob: Vec<u8>,
    kind: Kind,
}

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Rsa { exponent: Vec<u8>, modulus: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl PublicKey {
    /// Decodes a whole key blob.
    pub(crate) fn decode(blob: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::new(blob);
        let algorithm = reader.text()?;
        let key = Self::decode_fields(algorithm, &mut reader)?;
        reader.finish()?;
        Ok(key)
    }

    /// Decodes the fields that follow the algorithm name, in keys and in certificates alike.
    pub(super) fn decode_fields(algorithm: &str, reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        let kind = match algorithm {
            "ssh-rsa" => Kind::Rsa { exponent: reader.mpint()?.to_vec(), modulus: reader.mpint()?.to_vec() },
            "ecdsa-sha2-nistp256" if reader.string()? == b"nistp256" => Kind::P256(reader.string()?.to_vec()),
            "ecdsa-sha2-nistp384" if reader.string()? == b"nistp384" => Kind::P384(reader.string()?.to_vec()),
            "ssh-ed25519" => Kind::Ed25519(reader.string()?.to_vec()),
            _ => return Err(Damaged),
        };
        let fields = Writer::default().string(algorithm);
        let fields = match &kind {
            Kind::Rsa { exponent, modulus } => fields.mpint(exponent).mpint(modulus),
            Kind::P256(point) => fields.string("nistp256").string(point),
            Kind::P384(point) => fields.string("nistp384").string(point),
            Kind::Ed25519(key) => fields.string(key),
        };
        Ok(Self { blob: fields.done(), kind })
    }

    /// Checks an SSH signature blob. RSA with SHA-1 is refused.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Damaged> {
        let mut reader = Reader::new(signature);
        let algorithm = reader.text()?;
        let signature = reader.string()?;
        reader.finish()?;
        match (&self.kind, algorithm) {
            (Kind::Rsa { exponent, modulus }, "rsa-sha2-256" | "rsa-sha2-512") => {
                let parameters =
                    if algorithm == "rsa-sha2-256" { &RSA_PKCS1_2048_8192_SHA256 } else { &RSA_PKCS1_2048_8192_SHA512 };
                RsaPublicKeyComponents { n: modulus, e: exponent }.verify(parameters, message, signature)
            }
            (Kind::P256(point), "ecdsa-sha2-nistp256") => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, &fixed(signature, 32)?)
            }
            (Kind::P384(point), "ecdsa-sha2-nistp384") => {
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).verify(message, &fixed(signature, 48)?)
            }
            (Kind::Ed25519(key), "ssh-ed25519") => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
            _ => return Err(Damaged),
        }
        .map_err(|_| Damaged)
    }
}

/// SSH's two integers, as the fixed-width pair that ring checks.
fn fixed(signature: &[u8], width: usize) -> Result<Vec<u8>, Damaged> {
    let mut reader = Reader::new(signature);
    let mut pair = Vec::with_capacity(2 * width);
    for integer in [reader.mpint()?, reader.mpint()?] {
        let zeros = width.checked_sub(integer.len()).ok_or(Damaged)?;
        pair.resize(pair.len() + zeros, 0);
        pair.extend_from_slice(integer);
    }
    reader.finish()?;
    Ok(pair)
}

/// The key types a user may sign with, strongest hash first.
const SCHEMES: &[SignatureScheme] = &[
    SignatureScheme::ED25519,
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::RSA_PKCS1_SHA512,
];

/// Signs with a private key; returns the SSH name of the signature algorithm and the signature blob.
pub(crate) fn sign(key: &dyn SigningKey, message: &[u8]) -> Result<(&'static str, Vec<u8>), Damaged> {
    let signer = key.choose_scheme(SCHEMES).ok_or(Damaged)?;
    let signature = signer.sign(message).map_err(|_| Damaged)?;
    let (algorithm, signature) = match signer.scheme() {
        SignatureScheme::ED25519 => ("ssh-ed25519", signature),
        SignatureScheme::ECDSA_NISTP256_SHA256 => ("ecdsa-sha2-nistp256", integers(&signature)?),
        SignatureScheme::ECDSA_NISTP384_SHA384 => ("ecdsa-sha2-nistp384", integers(&signature)?),
        SignatureScheme::RSA_PKCS1_SHA512 => ("rsa-sha2-512", signature),
        _ => return Err(Damaged),
    };
    Ok((algorithm, Writer::default().string(algorithm).string(signature).done()))
}

/// TLS writes an ECDSA signature as a DER sequence of two integers, SSH as two of its own.
fn integers(der: &[u8]) -> Result<Vec<u8>, Damaged> {
    let mut reader = Reader::new(der);
    let length = header(&mut reader, 0x30)?;
    let mut reader = Reader::new(reader.take(length)?);
    let mut writer = Writer::default();
    for _ in 0..2 {
        let length = header(&mut reader, 0x02)?;
        writer = writer.mpint(without_leading_zeros(reader.take(length)?));
    }
    reader.finish()?;
    Ok(writer.done())
}

/// A DER tag and a length of at most one byte: enough for curves up to 384 bits.
fn header(reader: &mut Reader<'_>, tag: u8) -> Result<usize, Damaged> {
    if reader.byte()? != tag {
        return Err(Damaged);
    }
    match reader.byte()? {
        0x81 => Ok(usize::from(reader.byte()?)),
        length if length < 0x80 => Ok(usize::from(length)),
        _ => Err(Damaged),
    }
}
