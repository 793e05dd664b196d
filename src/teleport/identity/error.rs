//! What can be wrong with a credential, said with its place and its remedy and never with its content.

use std::io;
use std::path::PathBuf;

/// A credential that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file is not there, or may not be read.
    #[error("cannot read {}: {source}; {}", path.display(), unreadable_remedy(source))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The content is not a usable identity.
    #[error("{origin}: {problem}; {}", problem.remedy())]
    Invalid {
        /// The file that the content came from.
        origin: String,
        /// What is wrong with it.
        problem: Problem,
    },
}

/// What is wrong with the content of a credential.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// Nothing in it.
    #[error("the file is empty")]
    Empty,
    /// Base64 of what belongs there.
    #[error("its content is base64-encoded once more than needed")]
    Encoded,
    /// An archive of the files that belong there.
    #[error("it is a tar archive, not the files in it")]
    Archive,
    /// Text of two bytes a character, as `>` writes it in Windows PowerShell.
    #[error("it is text in UTF-16, not in UTF-8")]
    Utf16,
    /// A PEM block without its end line.
    #[error("a PEM block has no end line: the file was cut short")]
    UnterminatedPem,
    /// No private key where one belongs.
    #[error("there is no private key in it")]
    NoPrivateKey,
    /// An identity file that does not start with the private key: most likely one of the three TLS files.
    #[error("there is no private key at its start, where an identity file has it")]
    OnlyCertificates,
    /// Certificate and key stand in each other's place.
    #[error("a certificate stands where the private key belongs")]
    KeyIsCertificate,
    /// The key is of a kind that no software can use without its hardware, or that is not spoken here.
    #[error("private keys of the kind '{0}' are not supported: use an RSA, ECDSA or Ed25519 key kept in the file")]
    UnsupportedKey(String),
    /// The key cannot be decoded.
    #[error("the private key cannot be read: it is damaged or of an unknown kind")]
    DamagedKey,
    /// No client certificate where one belongs.
    #[error("there is no client certificate in it")]
    NoCertificate,
    /// The client certificate cannot be decoded.
    #[error("the TLS certificate cannot be read: it is damaged")]
    DamagedCertificate,
    /// No CA to check the server by.
    #[error("there is no TLS certificate authority in it")]
    NoAuthorities,
    /// None of the CAs is of the cluster that signed the identity.
    #[error("no TLS certificate authority in it is of the identity's own cluster '{0}'")]
    ForeignAuthorities(String),
    /// None of the CAs can be used.
    #[error("a TLS certificate authority in it cannot be used: {0}")]
    DamagedAuthority(String),
    /// The key belongs to another certificate.
    #[error("the private key does not belong to the TLS certificate: they come from two different identities")]
    KeyMismatch,
}

fn unreadable_remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "put what `tctl auth sign` wrote there, or correct the path in the configuration",
        io::ErrorKind::PermissionDenied => "let the user that runs this process read it",
        _ => "name a file that `tctl auth sign` wrote",
    }
}

impl Problem {
    /// What to do about it.
    fn remedy(&self) -> &'static str {
        match self {
            Self::OnlyCertificates => {
                "an identity file starts with a private key, see `tctl auth sign --format=file`; files of --format=tls belong into client_crt, client_key and root_cas"
            }
            Self::Encoded => {
                "put there what `tctl auth sign` wrote as it is, in a Secret with `kubectl create secret generic --from-file` or under `stringData` (only under `data` it is encoded, once)"
            }
            Self::Archive => "unpack it (`tar -xf`) and put its files in place; or run `tctl auth sign` without --tar",
            Self::Utf16 => {
                "save it as UTF-8: in PowerShell `Get-Content old.pem | Set-Content -Encoding ascii auth.pem`, or let `tctl auth sign --out=auth.pem` write the file instead of `>`"
            }
            Self::KeyIsCertificate => "client_key is the private key (auth.key), client_crt the certificate (auth.crt)",
            Self::UnsupportedKey(_) => "sign an identity whose key lies in a file: `tctl auth sign --format=file`",
            _ => "make a new one with `tctl auth sign --user=<user> --format=file --out=auth.pem` (or --format=tls)",
        }
    }

    /// Adds where it was found.
    pub(super) fn at(self, origin: &str) -> IdentityError {
        IdentityError::Invalid { origin: origin.to_owned(), problem: self }
    }
}
