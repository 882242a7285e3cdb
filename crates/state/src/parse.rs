//! Reading format 4 in one pass: validates the whole document and remembers where each part stands.

mod fields;
mod instance;
mod resource;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::address::ModulePath;
use crate::error::{Place, StateError};
use crate::index::Index;
use crate::instance::Instance;
use crate::json::{Fault, FaultKind, MAXIMUM_DEPTH, Scanner, Span};
use fields::{Context, boolean, container, text, whole_number};

pub(crate) use instance::read_sensitive_paths;

/// Valid JSON that is not what a state has at that place.
#[derive(Debug)]
pub(crate) enum Structure {
    Duplicate {
        path: String,
    },
    Missing {
        path: String,
    },
    WrongType {
        path: String,
        expected: &'static str,
        found: &'static str,
    },
    Invalid {
        path: String,
        reason: String,
    },
}

/// What a state's bytes hold, as positions in them.
#[derive(Default)]
pub(crate) struct Document {
    /// The document's own object.
    pub(crate) root: Span,
    pub(crate) terraform_version: String,
    pub(crate) serial: u64,
    pub(crate) serial_span: Option<Span>,
    pub(crate) lineage: String,
    pub(crate) lineage_span: Option<Span>,
    pub(crate) outputs: Vec<OutputEntry>,
    /// The array of resources, where there is one.
    pub(crate) resources_span: Option<Span>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) instances: Vec<Instance>,
    pub(crate) index: Index,
    pub(crate) check_results: Option<Span>,
}

/// One output value.
pub(crate) struct OutputEntry {
    pub(crate) name: String,
    pub(crate) sensitive: bool,
    pub(crate) value: Span,
    pub(crate) kind: Option<Span>,
}

/// One element of `resources`.
pub(crate) struct Entry {
    /// Its object.
    pub(crate) span: Span,
    /// Its array of instances; none where there is no such field or it is null.
    pub(crate) instances_span: Option<Span>,
    /// The first of its instances among all.
    pub(crate) first: u32,
    /// How many instances it has.
    pub(crate) count: u32,
}

impl Entry {
    /// Which of the document's instances are in this entry.
    pub(crate) fn members(&self) -> std::ops::Range<usize> {
        self.first as usize..self.first as usize + self.count as usize
    }
}

/// The only format that is read.
pub(crate) const FORMAT: u64 = 4;

/// Reads a whole state; gives the bytes back as the text that they are.
pub(crate) fn read(bytes: Vec<u8>) -> Result<(String, Document), StateError> {
    refuse_other_files(&bytes)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        StateError::NotUtf8 {
            place: Place::of(error.as_bytes(), valid),
        }
    })?;
    refuse_other_texts(&text)?;
    match Reader::new(&text).document() {
        Ok(document) => Ok((text, document)),
        Err(Failure::Fault(fault)) => Err(explain(text.as_bytes(), fault)),
        Err(Failure::Error(error)) => Err(error),
    }
}

/// What is recognisably something else by its first bytes.
fn refuse_other_files(bytes: &[u8]) -> Result<(), StateError> {
    let limit = u32::MAX as usize - 1;
    if bytes.len() > limit {
        return Err(StateError::TooLarge {
            length: bytes.len(),
            limit,
        });
    }
    match bytes {
        [0xef, 0xbb, 0xbf, ..] => return Err(StateError::ByteOrderMark),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return Err(StateError::Utf16),
        [0, first, ..] | [first, 0, ..] if *first == b'{' || first.is_ascii_whitespace() => {
            return Err(StateError::Utf16);
        }
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => return Err(StateError::PlanFile),
        [0x1f, 0x8b, ..] => return Err(StateError::Compressed),
        [b't', b'f', b's', b't', b'a', b't', b'e', ..] => return Err(StateError::BinaryFormat),
        _ => {}
    }
    Ok(())
}

/// What does not even begin like JSON.
fn refuse_other_texts(text: &str) -> Result<(), StateError> {
    let mut scanner = Scanner::new(text);
    match scanner.token() {
        0 if scanner.position() == text.len() => Err(StateError::Empty),
        b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => Ok(()),
        b'<' => Err(StateError::NotJson {
            found: "`<`, like a web page or XML".to_owned(),
        }),
        byte if byte.is_ascii_graphic() => Err(StateError::NotJson {
            found: format!("`{}`", char::from(byte)),
        }),
        _ => {
            let found = text[scanner.position()..].chars().next().unwrap_or_default();
            Err(StateError::NotJson {
                found: format!("the character U+{:04X}", found as u32),
            })
        }
    }
}

/// A fault with the place where it is.
fn explain(bytes: &[u8], fault: Fault) -> StateError {
    match *fault.0 {
        FaultKind::Syntax { offset, message } => StateError::Syntax {
            place: Place::of(bytes, offset),
            message,
        },
        FaultKind::Truncated => StateError::Truncated {
            place: Place::of(bytes, bytes.len()),
        },
        FaultKind::TooDeep { offset } => StateError::TooDeep {
            place: Place::of(bytes, offset),
            limit: MAXIMUM_DEPTH,
        },
        FaultKind::Structure { offset, error } => {
            let place = Place::of(bytes, offset);
            match error {
                Structure::Duplicate { path } => StateError::DuplicateKey { place, path },
                Structure::Missing { path } => StateError::MissingField { place, path },
                Structure::WrongType { path, expected, found } => StateError::WrongType {
                    place,
                    path,
                    expected,
                    found,
                },
                Structure::Invalid { path, reason } => StateError::InvalidValue { place, path, reason },
            }
        }
    }
}

enum Failure {
    Fault(Fault),
    Error(StateError),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Failure::Fault(fault)
    }
}

/// The keys of one object so far. A repeated key is an error: Go takes the last of them, other readers the first,
/// and a tool that rolls back cannot guess.
#[derive(Default)]
pub(crate) struct Seen<'b> {
    few: Vec<Cow<'b, str>>,
    many: HashSet<Cow<'b, str>>,
}

impl<'b> Seen<'b> {
    const FEW: usize = 24;

    fn note(&mut self, context: Context, key_span: Span, key: Cow<'b, str>) -> Result<(), Fault> {
        let repeated = if self.few.len() < Self::FEW {
            let repeated = self.few.contains(&key);
            self.few.push(key.clone());
            repeated
        } else {
            if self.many.is_empty() {
                self.many.extend(self.few.iter().cloned());
            }
            !self.many.insert(key.clone())
        };
        if !repeated {
            return Ok(());
        }
        let path = context.path(&key);
        Err(Fault(Box::new(FaultKind::Structure {
            offset: key_span.start(),
            error: Structure::Duplicate { path },
        })))
    }

    fn clear(&mut self) {
        self.few.clear();
        self.many.clear();
    }
}

/// What reading has found so far.
struct Reader<'b> {
    text: &'b str,
    found: Document,
    /// The module path read last: resources of one module stand together.
    module: (Span, ModulePath),
    /// The provider read last, and all of them.
    provider: (Span, Arc<str>),
    providers: HashMap<&'b str, Arc<str>>,
    seen_in_resource: Seen<'b>,
    seen_in_instance: Seen<'b>,
}

/// The members of the document's object, kept until the format is known.
#[derive(Default)]
struct Top {
    version: Option<Span>,
    terraform_version: Option<Span>,
    serial: Option<Span>,
    lineage: Option<Span>,
    outputs: Option<Span>,
    resources: Option<Span>,
    check_results: Option<Span>,
    encrypted_data: bool,
    format_version: Option<Span>,
    backend: bool,
}

impl<'b> Reader<'b> {
    fn new(text: &'b str) -> Self {
        Self {
            text,
            found: Document::default(),
            module: (Span::default(), ModulePath::root()),
            provider: (Span::default(), Arc::from("")),
            providers: HashMap::new(),
            seen_in_resource: Seen::default(),
            seen_in_instance: Seen::default(),
        }
    }

    fn document(mut self) -> Result<Document, Failure> {
        let mut scanner = Scanner::new(self.text);
        let context = Context::TOP;
        if scanner.token() != b'{' {
            scanner.value()?;
            let error = fields::wrong_type_at(self.text, 0, context, "the document", "an object");
            return Err(error.into());
        }
        let mut top = Top::default();
        let mut seen = Seen::default();
        // Terraform writes the version first, so that everything else is read in the same pass; where it comes
        // later, resources and outputs are read again once it is known.
        let mut known = false;
        self.found.root = scanner.object(|scanner, quoted| {
            let key = quoted.decode(scanner.text());
            seen.note(context, quoted.span, key.clone())?;
            let start = scanner.position();
            match &*key {
                "version" => {
                    let value = scanner.value()?;
                    known = value.of(self.text) == "4";
                    top.version = Some(value);
                }
                "resources" if known => {
                    self.resources(scanner)?;
                }
                "outputs" if known => self.outputs(scanner)?,
                name => {
                    let value = scanner.value()?;
                    match name {
                        "terraform_version" => top.terraform_version = Some(value),
                        "serial" => top.serial = Some(value),
                        "lineage" => top.lineage = Some(value),
                        "outputs" => top.outputs = Some(value),
                        "resources" => top.resources = Some(value),
                        "check_results" => top.check_results = Some(value),
                        "encrypted_data" => top.encrypted_data = true,
                        "format_version" => top.format_version = Some(value),
                        "backend" => top.backend = true,
                        _ => {}
                    }
                }
            }
            debug_assert!(scanner.position() > start);
            Ok(())
        })?;
        self.require_format(&top)?;
        if scanner.token() != 0 || scanner.position() < self.text.len() {
            let place = Place::of(self.text.as_bytes(), scanner.position());
            return Err(Failure::Error(StateError::TrailingData { place }));
        }
        self.finish(top)
    }

    /// Refuses every format but the one.
    fn require_format(&self, top: &Top) -> Result<(), Failure> {
        let Some(version) = top.version else {
            if top.encrypted_data {
                return Err(Failure::Error(StateError::Encrypted));
            }
            if let Some(span) = top.format_version {
                let format_version = span.of(self.text).trim_matches('"').to_owned();
                return Err(Failure::Error(StateError::ShowOutput { format_version }));
            }
            return Err(fields::missing(self.found.root.start(), Context::TOP, "version").into());
        };
        let mut scanner = self.scanner_at(version);
        let version = whole_number(&mut scanner, Context::TOP, "version")?;
        let terraform_version = || {
            let mut scanner = self.scanner_at(top.terraform_version?);
            text(&mut scanner, Context::TOP, "terraform_version")
                .ok()
                .flatten()
                .map(Cow::into_owned)
        };
        match version {
            Some(FORMAT) => Ok(()),
            None => Err(fields::missing(self.found.root.start(), Context::TOP, "version").into()),
            Some(_) if top.backend => Err(Failure::Error(StateError::BackendRecord)),
            Some(version) if version < FORMAT => Err(Failure::Error(StateError::OldFormat {
                version,
                terraform_version: terraform_version(),
            })),
            Some(version) => Err(Failure::Error(StateError::FutureFormat {
                version,
                terraform_version: terraform_version(),
            })),
        }
    }

    /// A scanner for a value of the document's object that was skipped.
    fn scanner_at(&self, value: Span) -> Scanner<'b> {
        Scanner::at(self.text, value.start(), 1)
    }

    fn finish(mut self, top: Top) -> Result<Document, Failure> {
        let context = Context::TOP;
        if let Some(span) = top.terraform_version {
            let found = text(&mut self.scanner_at(span), context, "terraform_version")?;
            self.found.terraform_version = found.unwrap_or_default().into_owned();
        }
        if let Some(span) = top.serial {
            self.found.serial = whole_number(&mut self.scanner_at(span), context, "serial")?.unwrap_or_default();
            self.found.serial_span = Some(span);
        }
        if let Some(span) = top.lineage {
            let found = text(&mut self.scanner_at(span), context, "lineage")?;
            self.found.lineage = found.unwrap_or_default().into_owned();
            self.found.lineage_span = Some(span);
        }
        if let Some(span) = top.check_results {
            let mut scanner = self.scanner_at(span);
            if container(&mut scanner, context, "check_results", b'[')? {
                self.found.check_results = Some(span);
            }
        }
        if let Some(span) = top.outputs {
            self.outputs(&mut self.scanner_at(span))?;
        }
        if let Some(span) = top.resources {
            self.resources(&mut self.scanner_at(span))?;
        }
        let text = self.text;
        let mut found = self.found;
        found.index = Index::build(&found.instances).map_err(|(first, second)| {
            let place = |index: usize| Place::of(text.as_bytes(), found.instances[index].span.start());
            Failure::Error(StateError::DuplicateInstance {
                id: Box::new(found.instances[second].id.clone()),
                first: place(first),
                second: place(second),
            })
        })?;
        Ok(found)
    }

    fn outputs(&mut self, scanner: &mut Scanner<'b>) -> Result<(), Fault> {
        if !container(scanner, Context::TOP, "outputs", b'{')? {
            return Ok(());
        }
        let mut seen = Seen::default();
        scanner.object(|scanner, quoted| {
            let key = quoted.decode(scanner.text());
            let name = key.to_string();
            let context = Context::output(&name);
            seen.note(Context::OUTPUTS, quoted.span, key.clone())?;
            if scanner.token() != b'{' {
                return Err(fields::wrong_type(scanner, Context::OUTPUTS, &name, "an object"));
            }
            let start = scanner.position();
            let (mut value, mut kind, mut sensitive) = (None, None, false);
            let mut seen = Seen::default();
            scanner.object(|scanner, quoted| {
                let key = quoted.decode(scanner.text());
                seen.note(context, quoted.span, key.clone())?;
                match &*key {
                    "sensitive" => sensitive = boolean(scanner, context, "sensitive")?.unwrap_or(false),
                    "value" => value = Some(scanner.value()?),
                    "type" => kind = Some(scanner.value()?),
                    _ => {
                        scanner.value()?;
                    }
                }
                Ok(())
            })?;
            let Some(value) = value else {
                return Err(fields::missing(start, context, "value"));
            };
            self.found.outputs.push(OutputEntry {
                name,
                sensitive,
                value,
                kind,
            });
            Ok(())
        })?;
        Ok(())
    }
}
