//! Classes of a training set, and which of Mapillary's classes belong to each.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};
use crate::model::matches_pattern;

/// Highest class number: that of a 16-bit mask.
const MAX_ID: u32 = 65_535;

/// Largest file of classes in bytes.
const MAX_FILE_LEN: u64 = 16 << 20;

/// Rules that map Mapillary's classes to those of a training set. The first rule that matches a class decides.
///
/// A rule is a pattern, where `*` stands for any text: each class that matches keeps its name. With a name before it,
/// as in `vehicle=object--vehicle--*`, all classes that match become one. Without rules, every class of the data is one.
///
/// ```
/// use std::collections::BTreeMap;
/// use streetflow::training::ClassRules;
///
/// let rules: ClassRules = "vehicle=object--vehicle--*,nature--*".parse()?;
/// let counts = ["nature--sky", "object--vehicle--bus", "object--vehicle--car", "void--static"];
/// let counts: BTreeMap<_, _> = counts.map(|value| (value.to_owned(), 1)).into();
/// let classes = rules.resolve(&counts)?;
/// let names: Vec<_> = classes.iter().map(|class| (class.id, class.name.as_str())).collect();
/// assert_eq!(names, [(1, "vehicle"), (2, "nature--sky")]);
/// # Ok::<(), streetflow::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClassRules(Vec<Rule>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    pattern: String,
    name: Option<String>,
    id: Option<u32>,
}

/// A class of a training set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// Its number, from 1. Formats that count from 0 use the position in the list.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Mapillary's classes in the data that belong to it, with the number of their detections.
    pub values: Vec<(String, u64)>,
}

impl ClassRules {
    /// Adds a rule. `name` merges all classes that match; `id` fixes the number of the class, from 1 to 65535.
    pub fn rule(mut self, pattern: &str, name: Option<&str>, id: Option<u32>) -> Result<Self> {
        let failed = |why: &str, hint: &'static str| {
            Error::new(ErrorKind::Usage, "read the class")
                .with_subject(pattern)
                .with_source(why.to_owned())
                .with_hint(hint)
        };
        if pattern.is_empty() || name == Some("") {
            return Err(failed(
                "a pattern or a name is empty",
                "write PATTERN or NAME=PATTERN, such as `vehicle=object--vehicle--*`",
            ));
        }
        if id.is_some_and(|id| !(1..=MAX_ID).contains(&id)) {
            return Err(failed("its number is not from 1 to 65535", "0 stands for pixels without a class"));
        }
        if id.is_some() && name.is_none() && pattern.contains('*') {
            return Err(failed(
                "a pattern with a number needs a name",
                "several classes may match, and they need one name",
            ));
        }
        self.0.push(Rule { pattern: pattern.to_owned(), name: name.map(str::to_owned), id });
        Ok(self)
    }

    /// Reads rules from a file: a CSV table with the columns `value`, and optionally `class` and `id`, as in the
    /// `classes.csv` of a training set; or lines such as on the command line. `#` starts a comment.
    pub fn read(path: &Path) -> Result<Self> {
        let with_path = |error: Error| error.with_subject(path.display().to_string());
        let failed = || Error::new(ErrorKind::Usage, "read the file of classes");
        let read = || {
            let len = fs::metadata(path)?.len();
            if len > MAX_FILE_LEN {
                return Err(std::io::Error::other(format!("it has {len} bytes, more than {MAX_FILE_LEN}")));
            }
            fs::read_to_string(path)
        };
        let text = read().map_err(|error| with_path(failed().with_source(error)))?;
        let text = text.trim_start_matches('\u{feff}');
        let header = text.lines().next().unwrap_or_default();
        if header.split(',').any(|name| name.trim() == "value") {
            return Self::from_csv(text).map_err(|why| with_path(failed().with_source(why)));
        }
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        lines.filter(|line| !line.is_empty()).try_fold(Self::default(), Self::with_text).map_err(with_path)
    }

    fn from_csv(text: &str) -> std::result::Result<Self, String> {
        let mut rows =
            csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(text.as_bytes());
        let header = rows.headers().map_err(|error| error.to_string())?.clone();
        let column = |name: &str| header.iter().position(|column| column == name);
        let (value, class, id) = (column("value"), column("class"), column("id"));
        let mut rules = Self::default();
        for row in rows.records() {
            let row = row.map_err(|error| error.to_string())?;
            let line = row.position().map_or(0, csv::Position::line);
            let cell =
                |column: Option<usize>| column.and_then(|at| row.get(at)).filter(|cell| !cell.is_empty());
            // A class without any value, as our own `classes.csv` has it, keeps its number.
            let Some(pattern) = cell(value).or(cell(class)) else { continue };
            let id = cell(id)
                .map(str::parse)
                .transpose()
                .map_err(|_| format!("line {line}: the id is no number"))?;
            rules = rules
                .rule(pattern, cell(class), id)
                .map_err(|error| format!("line {line}: {}", error.chain()))?;
        }
        Ok(rules)
    }

    fn with_text(self, text: &str) -> Result<Self> {
        match text.split_once('=') {
            Some((name, pattern)) => self.rule(pattern.trim(), Some(name.trim()), None),
            None => self.rule(text.trim(), None, None),
        }
    }

    /// Whether a rule matches a class. Without rules, all match.
    ///
    /// ```
    /// use streetflow::training::ClassRules;
    ///
    /// let rules: ClassRules = "object--vehicle--*".parse()?;
    /// assert!(rules.selects("object--vehicle--car") && !rules.selects("nature--sky"));
    /// # Ok::<(), streetflow::Error>(())
    /// ```
    pub fn selects(&self, value: &str) -> bool {
        self.is_empty() || self.0.iter().any(|rule| matches_pattern(&rule.pattern, value))
    }

    /// Whether there are no rules.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The classes of data with these numbers of detections, by their number.
    ///
    /// Numbers are those of the rules, else they follow the order of the rules, then the names. A class with a name of
    /// its own exists even without data, so its number does not depend on the data.
    pub fn resolve(&self, counts: &BTreeMap<String, u64>) -> Result<Vec<Class>> {
        let all = [Rule { pattern: "*".to_owned(), name: None, id: None }];
        let rules: &[Rule] = if self.is_empty() { &all } else { &self.0 };
        let mut found = Found::new();
        let mut first_rule: HashMap<&str, usize> = HashMap::new();
        for (index, rule) in rules.iter().enumerate() {
            let name = rule
                .name
                .as_deref()
                .or_else(|| (!rule.pattern.contains('*')).then_some(rule.pattern.as_str()));
            let Some(name) = name else { continue };
            let first = *first_rule.entry(name).or_insert(index);
            let class = found.entry((first, name.to_owned())).or_default();
            if class.0.is_some() && rule.id.is_some() && class.0 != rule.id {
                return Err(Error::new(ErrorKind::Usage, "number the class")
                    .with_subject(name)
                    .with_source("two rules give it different numbers"));
            }
            class.0 = class.0.or(rule.id);
        }
        for (value, &count) in counts {
            let Some((index, rule)) =
                rules.iter().enumerate().find(|(_, rule)| matches_pattern(&rule.pattern, value))
            else {
                continue;
            };
            let name = rule.name.as_deref().unwrap_or(value);
            let first = first_rule.get(name).copied().unwrap_or(index);
            found.entry((first, name.to_owned())).or_default().1.push((value.clone(), count));
        }
        number(found)
    }
}

/// The fixed number and the values of each class, by the position of its first rule and its name.
type Found = BTreeMap<(usize, String), (Option<u32>, Vec<(String, u64)>)>;

/// Numbers classes: fixed numbers stay, the others get the next free ones.
fn number(found: Found) -> Result<Vec<Class>> {
    let mut taken: HashMap<u32, String> = HashMap::new();
    for ((_, name), (id, _)) in &found {
        if let Some(other) = id.and_then(|id| taken.insert(id, name.clone())) {
            return Err(Error::new(ErrorKind::Usage, "number the class")
                .with_subject(name)
                .with_source(format!("class `{other}` has the same number")));
        }
    }
    let mut next = 1;
    let mut classes = Vec::with_capacity(found.len());
    for ((_, name), (id, values)) in found {
        while taken.contains_key(&next) {
            next += 1;
        }
        let id = id.unwrap_or_else(|| {
            next += 1;
            next - 1
        });
        if id > MAX_ID {
            return Err(
                Error::new(ErrorKind::Usage, "number the classes").with_source("there are more than 65535")
            );
        }
        classes.push(Class { id, name, values });
    }
    classes.sort_by_key(|class| class.id);
    Ok(classes)
}

impl FromStr for ClassRules {
    type Err = Error;

    /// Reads `PATTERN,…` or `NAME=PATTERN,…`.
    fn from_str(text: &str) -> Result<Self> {
        text.split(',').try_fold(Self::default(), |rules, part| rules.with_text(part.trim()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(values: &[&str]) -> BTreeMap<String, u64> {
        values.iter().map(|value| ((*value).to_owned(), 2)).collect()
    }

    fn shown(classes: &[Class]) -> Vec<String> {
        let values =
            |class: &Class| class.values.iter().map(|(value, _)| value.clone()).collect::<Vec<_>>().join("+");
        classes.iter().map(|class| format!("{} {} {}", class.id, class.name, values(class))).collect()
    }

    #[test]
    fn without_rules_each_class_of_the_data_is_one_in_the_order_of_names() {
        let classes = ClassRules::default().resolve(&counts(&["b", "a--x", "a"])).expect("classes");
        assert_eq!(shown(&classes), ["1 a a", "2 a--x a--x", "3 b b"]);
    }

    #[test]
    fn rules_merge_and_order_classes_and_the_first_one_decides() {
        let rules: ClassRules =
            "sky=nature--sky, car=*--car ,car=*--bus,nature--*,boat".parse().expect("rules");
        let data = ["nature--sky", "nature--water", "nature--sand", "v--car", "v--bus", "v--car--x"];
        let classes = rules.resolve(&counts(&data)).expect("classes");
        assert_eq!(
            shown(&classes),
            [
                "1 sky nature--sky",
                "2 car v--bus+v--car",
                "3 nature--sand nature--sand",
                "4 nature--water nature--water",
                "5 boat "
            ]
        );
    }

    #[test]
    fn a_file_fixes_numbers() {
        let folder = tempfile::tempdir().expect("a folder");
        let read = |text: &str| {
            let path = folder.path().join("classes.csv");
            fs::write(&path, text).expect("written");
            ClassRules::read(&path)
        };
        let rules =
            read("id,value,class,count\n2,nature--vegetation,,7\n5,object--vehicle--*,vehicle,\n,water,,\n")
                .expect("rules");
        let classes = rules
            .resolve(&counts(&["object--vehicle--car", "nature--vegetation", "water"]))
            .expect("classes");
        assert_eq!(
            shown(&classes),
            ["1 water water", "2 nature--vegetation nature--vegetation", "5 vehicle object--vehicle--car"]
        );
        let lines = read("# vehicles\nvehicle=object--vehicle--*  # all\n\nnature--sky\n").expect("rules");
        assert_eq!(lines, "vehicle=object--vehicle--*,nature--sky".parse().expect("rules"));
        for (text, why) in [
            ("value,id\na,0\n", "65535"),
            ("value,id\na,x\n", "line 2"),
            ("value,id\na*,3\n", "needs a name"),
            ("=x\n", "empty"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.chain().contains(why) && error.kind() == ErrorKind::Usage, "{}", error.chain());
        }
        for text in ["value,id\na,3\nb,3\n", "value,class,id\na,x,3\nb,x,4\n"] {
            read(text).expect("rules").resolve(&counts(&["a", "b"])).expect_err("the same number");
        }
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "abcd", false),
            ("a", "ab", false),
            ("ab*ba", "aba", false),
            ("*b*", "abc", true),
            ("a**c", "abc", true),
            ("object--vehicle--*", "object--vehicle--car", true),
            ("object--vehicle--*", "object--vehicle", false),
            ("*é*", "caféx", true),
        ] {
            assert_eq!(matches_pattern(pattern, text), expected, "{pattern} {text}");
        }
    }
}
