//! Rules: which requests get which fault.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::fault::Fault;
use crate::request_log::{Host, RecordedRequest, lock};

type Condition = Box<dyn Fn(&RecordedRequest) -> bool + Send + Sync>;

/// A rule: which requests get a fault, and which fault.
///
/// ```
/// use streetflow_sandbox::{Fault, Host, Rule};
///
/// let rule = Rule::on(Host::Graph).path("/image_ids").times(2).fault(Fault::Reset);
/// ```
pub struct Rule {
    conditions: Vec<Condition>,
    fault: Option<Fault>,
    skip: u64,
    every: u64,
    times: u64,
    matched: u64,
    quota: Arc<Mutex<VecDeque<Instant>>>,
}

impl Rule {
    /// Creates a rule for the requests for which the closure returns true.
    pub fn when(condition: impl Fn(&RecordedRequest) -> bool + Send + Sync + 'static) -> Self {
        let conditions: Vec<Condition> = vec![Box::new(condition)];
        Self {
            conditions,
            fault: None,
            skip: 0,
            every: 1,
            times: u64::MAX,
            matched: 0,
            quota: Arc::default(),
        }
    }

    /// Creates a rule for the requests to one host.
    pub fn on(host: Host) -> Self {
        Self::when(move |request| request.host == host)
    }

    /// Limits the rule to a path. A `*` at the end matches any suffix.
    pub fn path(self, path: &str) -> Self {
        let path = path.to_owned();
        self.and(move |request| match path.strip_suffix('*') {
            Some(prefix) => request.path.starts_with(prefix),
            None => request.path == path,
        })
    }

    /// Limits the rule to requests with this decoded query parameter.
    pub fn query(self, name: &str, value: &str) -> Self {
        let (name, value) = (name.to_owned(), value.to_owned());
        self.and(move |request| request.param(&name).as_deref() == Some(&value))
    }

    fn and(mut self, condition: impl Fn(&RecordedRequest) -> bool + Send + Sync + 'static) -> Self {
        self.conditions.push(Box::new(condition));
        self
    }

    /// Skips the first `requests` matching requests.
    pub fn skip(mut self, requests: u64) -> Self {
        self.skip = requests;
        self
    }

    /// Affects only every `n`-th matching request.
    pub fn every_nth(mut self, n: u64) -> Self {
        self.every = n.max(1);
        self
    }

    /// Affects at most `times` requests. The default is no limit.
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// Sets the fault. A rule without a fault exempts its requests from later rules.
    pub fn fault(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }

    /// Returns whether the rule affects this request, and counts the request.
    fn matches(&mut self, request: &RecordedRequest) -> bool {
        let applies = self.fault.as_ref().is_none_or(|fault| fault.applies_to(request));
        if self.times == 0 || !applies || !self.conditions.iter().all(|condition| condition(request)) {
            return false;
        }
        self.matched += 1;
        let number = self.matched.saturating_sub(self.skip);
        let matches = number > 0 && number.is_multiple_of(self.every);
        self.times -= u64::from(matches);
        matches
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("fault", &self.fault)
            .field("matched", &self.matched)
            .finish_non_exhaustive()
    }
}

/// The active rules. The first rule that matches a request decides.
#[derive(Default)]
pub(crate) struct Rules(Mutex<Vec<Rule>>);

impl Rules {
    pub(crate) fn add(&self, rule: Rule) {
        lock(&self.0).push(rule);
    }

    pub(crate) fn clear(&self) {
        lock(&self.0).clear();
    }

    /// Returns the fault of a request, if any. Requests within a quota have none.
    pub(crate) fn fault_for(&self, request: &RecordedRequest) -> Option<Fault> {
        let mut rules = lock(&self.0);
        let rule = rules.iter_mut().find_map(|rule| rule.matches(request).then_some(rule))?;
        match rule.fault {
            Some(Fault::Quota { per_minute }) if !exceeds_quota(&mut lock(&rule.quota), per_minute) => None,
            _ => rule.fault.clone(),
        }
    }
}

/// Returns whether a request now exceeds the quota of the last minute, and counts it if not.
fn exceeds_quota(successful: &mut VecDeque<Instant>, per_minute: usize) -> bool {
    let now = Instant::now();
    while successful.front().is_some_and(|first| now - *first >= Duration::from_mins(1)) {
        successful.pop_front();
    }
    let exceeds = successful.len() >= per_minute;
    if !exceeds {
        successful.push_back(now);
    }
    exceeds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &str, query: &str) -> RecordedRequest {
        RecordedRequest {
            host: Host::Graph,
            connection: 0,
            version: "HTTP/1.1".to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            authorization: None,
            status: None,
            at: Duration::ZERO,
            in_flight: 1,
        }
    }

    #[test]
    fn a_rule_matches_host_path_and_query() {
        let rules = Rules::default();
        rules.add(Rule::on(Host::Images).fault(Fault::Reset));
        rules.add(Rule::on(Host::Graph).path("/image_ids").query("sequence_id", "a b").fault(Fault::Html));
        rules.add(Rule::when(|request| request.ids().len() > 1).path("/*").fault(Fault::TooLarge));
        assert!(matches!(rules.fault_for(&request("/image_ids", "sequence_id=a+b")), Some(Fault::Html)));
        assert!(rules.fault_for(&request("/image_ids", "sequence_id=c")).is_none());
        assert!(matches!(rules.fault_for(&request("/", "ids=1%2C2")), Some(Fault::TooLarge)));
        assert!(rules.fault_for(&request("/", "ids=1")).is_none());
    }

    #[test]
    fn skip_every_nth_and_times_count_matching_requests_only() {
        let rules = Rules::default();
        rules.add(Rule::on(Host::Graph).path("/a").skip(1).every_nth(2).times(2).fault(Fault::Empty));
        rules.add(Rule::on(Host::Graph).path("/a").skip(6).fault(Fault::Reset));
        let faults: Vec<bool> = (0..7)
            .map(|_| {
                assert!(rules.fault_for(&request("/b", "")).is_none());
                matches!(rules.fault_for(&request("/a", "")), Some(Fault::Empty))
            })
            .collect();
        assert_eq!(faults, [false, false, true, false, true, false, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_quota_limits_requests_per_minute() {
        let rules = Rules::default();
        rules.add(Rule::on(Host::Graph).fault(Fault::Quota { per_minute: 2 }));
        let over_quota = || rules.fault_for(&request("/", "")).is_some();
        assert_eq!([over_quota(), over_quota(), over_quota()], [false, false, true]);
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!([over_quota(), over_quota(), over_quota()], [false, false, true]);
    }
}
