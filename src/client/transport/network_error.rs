//! What a failure below HTTP means: an outage, which passes, or something that waiting can't fix.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError, Error as TlsError};

use crate::client::transport::proxy;
use crate::client::transport::tls::NoRoots;
use crate::error::{Error, ErrorKind};

/// Why no answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A connection broke, or an answer took too long.
    Broken,
    /// No connection came about: refused, no route, no name server.
    NoConnection,
    /// The name server says that there is no such host.
    NoSuchHost,
    /// The certificate of the host is not trusted, or not valid.
    Certificate(Distrust),
    /// Both sides have no version or method of TLS in common, or one does not speak TLS at all.
    TlsMismatch,
    /// Nobody is trusted, since there is no certificate of any authority.
    NoRoots,
    /// The proxy wants to know who asks.
    ProxyAuth,
    /// This process may open no further file or socket.
    TooManyFiles,
    /// The host redirects to where nothing is asked.
    Redirect,
}

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Distrust {
    Issuer,
    Time,
    Name,
    Other,
}

impl Fault {
    /// Looks through an error and its causes.
    pub(crate) fn of(error: &(dyn StdError + 'static)) -> Self {
        let (mut next, mut connecting) = (Some(error), false);
        while let Some(cause) = next {
            if let Some(fault) = in_cause(cause) {
                return fault;
            }
            connecting |= cause.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect);
            next = match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                // Its `source` would pass over the error that it holds.
                Some(held) => Some(held),
                None => cause.source(),
            };
        }
        if connecting { Self::NoConnection } else { Self::Broken }
    }

    /// Of an error that the client made; none if no failure below HTTP is behind it.
    pub(crate) fn behind(error: &Error) -> Option<Self> {
        let cause = StdError::source(error)?;
        cause.downcast_ref::<reqwest::Error>().map(|error| Self::of(error))
    }

    /// What the user may do about it.
    pub(crate) fn hint(self) -> Option<String> {
        Some(match self {
            Self::Broken | Self::Redirect => return None,
            Self::NoConnection => through_proxy("check the network and the URL of the host"),
            Self::NoSuchHost => through_proxy(
                "check the name of the host, and the network; a network with a proxy needs it in HTTPS_PROXY",
            ),
            Self::Certificate(Distrust::Issuer) => trust_hint().to_owned(),
            Self::Certificate(Distrust::Time) => {
                "check the date of this machine; if it is right, the owner of the host must renew the certificate".to_owned()
            }
            Self::Certificate(Distrust::Name) => {
                "check the URL of the host: its certificate is for another name; a login page of the network may also answer in its place".to_owned()
            }
            Self::Certificate(Distrust::Other) => {
                "the host, or a proxy before it, shows a certificate that can't be used".to_owned()
            }
            Self::TlsMismatch => {
                "the host, or a proxy before it, must speak TLS 1.2 or 1.3 at that port; check whether its URL begins with `http:`".to_owned()
            }
            Self::NoRoots => NoRoots::hint(),
            Self::ProxyAuth => format!(
                "the proxy wants a name and a password: set {} to `http://NAME:PASSWORD@HOST:PORT`, percent-encoded where they have other characters than letters and digits",
                proxy::variables_set().first().copied().unwrap_or("HTTPS_PROXY")
            ),
            Self::TooManyFiles => {
                "raise the limit with `ulimit -n 4096`, or say a lower `--concurrency`".to_owned()
            }
        })
    }
}

/// Names the proxy variables that are set, for a dead proxy looks like a dead host.
fn through_proxy(check: &str) -> String {
    match proxy::variables_set() {
        set if set.is_empty() => check.to_owned(),
        set => format!("{check}, and the proxy in {}", set.join(", ")),
    }
}

fn trust_hint() -> &'static str {
    if cfg!(any(windows, target_vendor = "apple")) {
        "if a proxy of your organization stands between, add its certificate to those that the system trusts"
    } else {
        "if a proxy or mirror of your organization signs certificates, set SSL_CERT_FILE to a PEM file with the certificate of its authority, beside those of all others that are to be trusted"
    }
}

fn in_cause(cause: &(dyn StdError + 'static)) -> Option<Fault> {
    if cause.is::<RedirectRefused>() {
        return Some(Fault::Redirect);
    }
    if let Some(error) = cause.downcast_ref::<TlsError>() {
        return in_tls(error);
    }
    if let Some(error) = cause.downcast_ref::<io::Error>()
        && let Some(fault) = in_io(error)
    {
        return Some(fault);
    }
    // The types of these errors are not public; their words are all that there is.
    let text = cause.to_string();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&["proxy authorization required", "credentials not accepted", "support user/pass authentication"])
    {
        return Some(Fault::ProxyAuth);
    }
    if says(&["failed to lookup address information"]) {
        return Some(if says(&NO_SUCH_HOST) { Fault::NoSuchHost } else { Fault::NoConnection });
    }
    None
}

/// How the resolvers of glibc, musl, macOS and the BSDs say that a name does not exist.
const NO_SUCH_HOST: [&str; 5] = [
    "Name or service not known",
    "No address associated with hostname",
    "Name does not resolve",
    "Name has no usable address",
    "nodename nor servname provided",
];

fn in_io(error: &io::Error) -> Option<Fault> {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let code = error.raw_os_error();
        if [Errno::MFILE, Errno::NFILE].iter().any(|errno| code == Some(errno.raw_os_error())) {
            return Some(Fault::TooManyFiles);
        }
    }
    #[cfg(windows)]
    match error.raw_os_error() {
        // WSAEMFILE, WSAHOST_NOT_FOUND, WSANO_DATA.
        Some(10024) => return Some(Fault::TooManyFiles),
        Some(11001 | 11004) => return Some(Fault::NoSuchHost),
        _ => {}
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::AddrNotAvailable => Some(Fault::NoConnection),
        _ => None,
    }
}

fn in_tls(error: &TlsError) -> Option<Fault> {
    use AlertDescription as Alert;
    use CertificateError as Bad;
    Some(match error {
        TlsError::InvalidCertificate(bad) => Fault::Certificate(match bad {
            Bad::UnknownIssuer => Distrust::Issuer,
            Bad::Expired | Bad::ExpiredContext { .. } | Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
                Distrust::Time
            }
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => Distrust::Name,
            // The verifiers of other systems have words of their own for an authority that they do not know.
            Bad::Other(_) => Distrust::Issuer,
            _ => Distrust::Other,
        }),
        TlsError::Other(other) if other.0.is::<NoRoots>() => Fault::NoRoots,
        TlsError::PeerIncompatible(_) | TlsError::InvalidMessage(_) => Fault::TlsMismatch,
        TlsError::AlertReceived(
            Alert::ProtocolVersion
            | Alert::HandshakeFailure
            | Alert::InsufficientSecurity
            | Alert::CertificateRequired
            | Alert::AccessDenied
            | Alert::UnrecognisedName,
        ) => Fault::TlsMismatch,
        _ => return None,
    })
}

/// A redirect that is not followed.
#[derive(Debug)]
pub(crate) struct RedirectRefused {
    pub(crate) why: String,
    pub(crate) hint: Option<String>,
}

impl fmt::Display for RedirectRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl StdError for RedirectRefused {}

/// A failure below HTTP; the URL is cut off, for a tile's holds the token.
pub(crate) fn network(error: reqwest::Error) -> Error {
    let error = error.without_url();
    if let Some(refused) = redirect_refused(&error) {
        let not = Error::new(ErrorKind::Rejected, "").with_source(refused.why.clone());
        return match &refused.hint {
            Some(hint) => not.with_hint(hint.clone()),
            None => not,
        };
    }
    let kind = if error.is_builder() { ErrorKind::Rejected } else { ErrorKind::Unavailable };
    let hint = Fault::of(&error).hint();
    let error = Error::new(kind, "").with_source(error);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

fn redirect_refused(error: &reqwest::Error) -> Option<&RedirectRefused> {
    let mut cause = StdError::source(error);
    while let Some(inner) = cause {
        if let Some(refused) = inner.downcast_ref() {
            return Some(refused);
        }
        cause = inner.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn wrapped(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Fault {
        // As a connector gives it on: an error within an error of the operating system's kind.
        Fault::of(&io::Error::other(io::Error::other(error)))
    }

    #[test]
    fn causes_are_found_however_deep_they_lie() {
        let tls = |error: TlsError| wrapped(error);
        assert_eq!(
            tls(TlsError::InvalidCertificate(CertificateError::UnknownIssuer)),
            Fault::Certificate(Distrust::Issuer)
        );
        assert_eq!(
            tls(TlsError::InvalidCertificate(CertificateError::Expired)),
            Fault::Certificate(Distrust::Time)
        );
        assert_eq!(
            tls(TlsError::InvalidCertificate(CertificateError::NotValidForName)),
            Fault::Certificate(Distrust::Name)
        );
        assert_eq!(tls(TlsError::AlertReceived(AlertDescription::ProtocolVersion)), Fault::TlsMismatch);
        assert_eq!(tls(TlsError::AlertReceived(AlertDescription::InternalError)), Fault::Broken);
        assert_eq!(tls(TlsError::Other(rustls::OtherError(Arc::new(NoRoots)))), Fault::NoRoots);
        for (text, fault) in [
            ("failed to lookup address information: Name or service not known", Fault::NoSuchHost),
            (
                "failed to lookup address information: Temporary failure in name resolution",
                Fault::NoConnection,
            ),
            ("tunnel error: proxy authorization required", Fault::ProxyAuth),
            ("SOCKS error: credentials not accepted", Fault::ProxyAuth),
            ("connection closed before message completed", Fault::Broken),
        ] {
            assert_eq!(wrapped(text), fault, "{text}");
        }
        assert_eq!(wrapped(io::Error::from(io::ErrorKind::ConnectionRefused)), Fault::NoConnection);
        assert_eq!(wrapped(io::Error::from(io::ErrorKind::ConnectionReset)), Fault::Broken);
        #[cfg(unix)]
        assert_eq!(wrapped(io::Error::from(rustix::io::Errno::MFILE)), Fault::TooManyFiles);
    }

    #[test]
    fn what_waiting_cannot_fix_has_a_hint() {
        for fault in [
            Fault::NoConnection,
            Fault::NoSuchHost,
            Fault::Certificate(Distrust::Issuer),
            Fault::Certificate(Distrust::Time),
            Fault::Certificate(Distrust::Name),
            Fault::Certificate(Distrust::Other),
            Fault::TlsMismatch,
            Fault::NoRoots,
            Fault::ProxyAuth,
            Fault::TooManyFiles,
        ] {
            assert!(fault.hint().is_some_and(|hint| !hint.is_empty()), "{fault:?}");
        }
    }
}
