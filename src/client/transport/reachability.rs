//! Whether a host was ever reached: before its first answer a failure to reach it is a mistake in the set-up of this
//! machine, which waiting does not mend; after it, the same failure is an outage.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::client::class::Class;
use crate::client::handle::Client;
use crate::client::transport::network_error::{Fault, network};
use crate::client::transport::send::Ask;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::Event;

/// A host that never answered gets so long to be reached.
const PATIENCE: Duration = Duration::from_secs(10);

/// After so many pictures that can't be reached, with no answer from any host, the fault is on this side.
const PICTURES: u32 = 10;

/// So many names of picture hosts are remembered; Mapillary has some hundreds.
const MOST_NAMES: usize = 10_000;

/// While no socket can be opened, a request looks again so often.
const SOCKET_WAIT: Duration = Duration::from_millis(200);

/// How long a request waits for a socket after the last answer to any request.
const SOCKET_PATIENCE: Duration = Duration::from_secs(30);

/// What is known of how a host, or the hosts of pictures together, can be reached.
#[derive(Default)]
pub(crate) struct Reach {
    answered: AtomicBool,
    /// Which of many hosts have answered.
    names: Mutex<HashSet<String>>,
    /// When nothing could be reached for the first time.
    failing: Mutex<Option<Instant>>,
    /// Pictures that failed for a reason that waiting does not mend.
    hopeless: AtomicU32,
    told: Mutex<Vec<Fault>>,
    last_answer: Mutex<Option<Instant>>,
    /// Set when the run ends for it: nobody waits out a pause for a host that is not to be reached.
    given_up: CancellationToken,
    /// Why, and what to do about it.
    reason: OnceLock<(String, Option<String>)>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reach {
    /// Takes note that a host answered, whatever it said.
    fn note(&self, class: Class, url: &Url) {
        self.answered.store(true, Ordering::Relaxed);
        *locked(&self.last_answer) = Some(Instant::now());
        if class == Class::Bytes
            && let Some(name) = url.host_str()
        {
            let mut names = locked(&self.names);
            if names.len() < MOST_NAMES && !names.contains(name) {
                names.insert(name.to_owned());
            }
        }
    }

    fn has_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// The kind of a failure: whether it is an outage, costs only this request, or ends the run.
    fn kind(&self, class: Class, url: &Url, fault: Fault) -> ErrorKind {
        use ErrorKind::{Rejected, Unavailable, Unreachable};
        let mends_itself = matches!(fault, Fault::Broken | Fault::NoConnection | Fault::TooManyFiles);
        match (fault, class) {
            (Fault::ProxyAuth | Fault::NoRoots, _) => Unreachable,
            (Fault::Redirect, _) => Rejected,
            (Fault::Broken, _) => Unavailable,
            _ if mends_itself => {
                let since = *locked(&self.failing).get_or_insert_with(Instant::now);
                let given_up = !self.has_answered() && since.elapsed() >= PATIENCE;
                if given_up { Unreachable } else { Unavailable }
            }
            // One host of many: the pictures of others must not suffer for it.
            (_, Class::Bytes) => {
                let known = url.host_str().is_some_and(|name| locked(&self.names).contains(name));
                let hopeless = self.hopeless.fetch_add(1, Ordering::Relaxed) + 1;
                match (known, self.has_answered()) {
                    (true, _) => Unavailable,
                    (false, false) if hopeless >= PICTURES => Unreachable,
                    (false, _) => Rejected,
                }
            }
            _ if self.has_answered() => Unavailable,
            _ => Unreachable,
        }
    }

    /// Waits until the host is given up; gives the error of a request to it.
    pub(crate) async fn given_up(&self, doing: &'static str, subject: &str) -> Error {
        self.given_up.cancelled().await;
        let (why, hint) = self.reason.get().cloned().unwrap_or_default();
        let error = Error::new(ErrorKind::Unreachable, doing).with_subject(subject).with_source(why);
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }

    fn give_up(&self, error: &Error) {
        let causes = || {
            let mut causes = Vec::new();
            let mut cause = std::error::Error::source(error);
            while let Some(inner) = cause {
                causes.push(inner.to_string());
                cause = inner.source();
            }
            causes.join(": ")
        };
        self.reason.get_or_init(|| (causes(), error.hint().map(str::to_owned)));
        self.given_up.cancel();
    }

    /// Whether this is the first failure of its sort.
    fn is_news(&self, fault: Fault) -> bool {
        let mut told = locked(&self.told);
        let news = !told.contains(&fault);
        if news {
            told.push(fault);
        }
        news
    }
}

impl Client {
    /// Sends a request and waits for the headers; where no socket can be opened, it waits for one.
    pub(crate) async fn reach(
        &self,
        ask: &Ask,
        mut request: reqwest::RequestBuilder,
    ) -> Result<reqwest::Response> {
        let class = ask.class;
        let reach = self.reach_of(class);
        let began = Instant::now();
        loop {
            let again = request.try_clone();
            let error = match request.send().await.map_err(network) {
                // A proxy that wants to know who asks is not the host.
                Ok(response) if response.status().as_u16() == 407 && self.0.proxied => {
                    return Err(proxy_auth());
                }
                Ok(response) => {
                    reach.note(class, &ask.url);
                    return Ok(response);
                }
                Err(error) => error,
            };
            let Some(again) = again.filter(|_| Fault::behind(&error) == Some(Fault::TooManyFiles)) else {
                return Err(error);
            };
            let error = error.with_context(ask.doing, &ask.subject);
            self.tell_of(class, Fault::TooManyFiles, &error);
            let last = self.0.reaches.iter().filter_map(|reach| *locked(&reach.last_answer)).max();
            let (since, patience) = match last {
                Some(answer) => (answer.max(began), SOCKET_PATIENCE),
                None => (began, PATIENCE),
            };
            if since.elapsed() >= patience {
                return Err(error.with_kind(ErrorKind::Unreachable));
            }
            tokio::time::sleep(SOCKET_WAIT).await;
            request = again;
        }
    }

    /// The failure as what it is for this run, which depends on what was reached before.
    pub(crate) fn judged(&self, ask: &Ask, error: Error) -> Error {
        let (class, error) = (ask.class, error.with_context(ask.doing, &ask.subject));
        if error.kind() == ErrorKind::Auth {
            return self.doubt_token(error);
        }
        let reach = self.reach_of(class);
        let fault = Fault::behind(&error).filter(|_| error.kind() == ErrorKind::Unavailable);
        let error = match fault {
            Some(fault) => error.with_kind(reach.kind(class, &ask.url, fault)),
            None => error,
        };
        match (error.kind(), fault) {
            (ErrorKind::Unreachable, _) => reach.give_up(&error),
            // One that costs a record is told with that.
            (ErrorKind::Unavailable, Some(fault)) if fault != Fault::Broken => {
                self.tell_of(class, fault, &error);
            }
            _ => {}
        }
        error
    }

    fn tell_of(&self, class: Class, fault: Fault, error: &Error) {
        if self.reach_of(class).is_news(fault) {
            self.tell(&Event::HostUnreachable { class, error });
        }
    }

    /// A token that was refused and does not look like one was probably copied wrong.
    fn doubt_token(&self, error: Error) -> Error {
        let odd = self.0.token.as_ref().is_some_and(|token| !token.has_usual_form());
        match error.hint().map(str::to_owned) {
            Some(hint) if odd => error.with_hint(format!(
                "{hint}; the one that was sent does not have the usual form `MLY|<16 digits>|<32 letters and digits>`, and may be cut or damaged"
            )),
            _ => error,
        }
    }
}

fn proxy_auth() -> Error {
    let error = Error::new(ErrorKind::Unreachable, "")
        .with_source("status 407: the proxy wants a name and a password");
    match Fault::ProxyAuth.hint() {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::transport::network_error::Distrust;

    const UNTRUSTED: Fault = Fault::Certificate(Distrust::Issuer);

    fn url(host: &str) -> Url {
        Url::parse(&format!("https://{host}/x")).expect("a URL")
    }

    #[tokio::test(start_paused = true)]
    async fn before_the_first_answer_what_waiting_cannot_mend_ends_the_run() {
        let (reach, graph) = (Reach::default(), url("graph.example"));
        for fault in [UNTRUSTED, Fault::NoSuchHost, Fault::TlsMismatch, Fault::NoRoots, Fault::ProxyAuth] {
            assert_eq!(reach.kind(Class::Entity, &graph, fault), ErrorKind::Unreachable, "{fault:?}");
        }
        let refused = || reach.kind(Class::Entity, &graph, Fault::NoConnection);
        assert_eq!(refused(), ErrorKind::Unavailable);
        tokio::time::advance(PATIENCE / 2).await;
        assert_eq!(refused(), ErrorKind::Unavailable);
        tokio::time::advance(PATIENCE / 2).await;
        assert_eq!(refused(), ErrorKind::Unreachable);
        assert_eq!(reach.kind(Class::Entity, &graph, Fault::Broken), ErrorKind::Unavailable);
    }

    #[tokio::test(start_paused = true)]
    async fn after_an_answer_the_same_is_an_outage() {
        let (reach, graph) = (Reach::default(), url("graph.example"));
        reach.note(Class::Entity, &graph);
        for fault in [UNTRUSTED, Fault::NoSuchHost, Fault::NoConnection, Fault::TooManyFiles] {
            for _ in 0..20 {
                assert_eq!(reach.kind(Class::Search, &graph, fault), ErrorKind::Unavailable, "{fault:?}");
                tokio::time::advance(PATIENCE).await;
            }
        }
    }

    #[tokio::test]
    async fn a_host_that_is_given_up_ends_all_that_waits_for_it() {
        let reach = Reach::default();
        let error = Error::new(ErrorKind::Unreachable, "list").with_source("refused").with_hint("do this");
        let (waited, ()) = tokio::join!(reach.given_up("fetch", "7"), async { reach.give_up(&error) });
        assert_eq!((waited.kind(), waited.hint()), (ErrorKind::Unreachable, Some("do this")));
        assert_eq!(waited.chain(), "failed to fetch `7`: refused");
    }

    #[tokio::test]
    async fn one_picture_host_of_many_costs_its_own_pictures() {
        let reach = Reach::default();
        let kind = |host: &str| reach.kind(Class::Bytes, &url(host), Fault::NoSuchHost);
        assert_eq!(kind("gone.example"), ErrorKind::Rejected);
        reach.note(Class::Bytes, &url("good.example"));
        for _ in 0..2 * PICTURES {
            assert_eq!(kind("gone.example"), ErrorKind::Rejected);
            assert_eq!(kind("good.example"), ErrorKind::Unavailable, "an outage of the name server");
        }
        let never = Reach::default();
        let kinds = (0..PICTURES).map(|_| never.kind(Class::Bytes, &url("gone.example"), UNTRUSTED));
        assert_eq!(kinds.last(), Some(ErrorKind::Unreachable));
    }
}
