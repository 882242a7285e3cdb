//! Projects that clients bring: each is a service of its own on the same store, with a checkout of its own, reached
//! below `/projects/NAME`. The tokens of the service's own project that are for all stacks are good for each of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rollback_engine::context::Context;
use rollback_repository::CommitId;

use crate::checkouts::Checkouts;
use crate::service::{Asked, Service};

/// Opens the context of a checkout: its folder, and what is asked for.
pub type CheckoutOpener = Arc<dyn Fn(&Path, &Asked<'_>) -> rollback_engine::error::Result<Context> + Send + Sync>;

/// The projects below one folder.
pub struct Projects {
    folder: PathBuf,
    open: CheckoutOpener,
    known: Mutex<BTreeMap<String, Arc<Service>>>,
    bringing: Arc<Mutex<()>>,
}

impl Projects {
    pub fn new(folder: PathBuf, open: CheckoutOpener) -> Projects {
        Projects {
            folder,
            open,
            known: Mutex::default(),
            bringing: Arc::default(),
        }
    }

    /// The service of a project; none where no project can be called so. `home` is the service's own.
    pub fn get(&self, home: &Service, name: &str) -> Option<Arc<Service>> {
        let commit: CommitId = name.parse().ok().filter(|commit: &CommitId| commit.as_str() == name)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(service) = known.get(name) {
            return Some(service.clone());
        }
        let service = Arc::new(self.make(home, commit.as_str()));
        // Names alone fill no memory: only a project that somebody has brought is remembered.
        if self.folder.join(name).is_dir() {
            known.insert(name.to_owned(), service.clone());
        }
        Some(service)
    }

    /// All that were brought.
    pub fn all(&self, home: &Service) -> Vec<Arc<Service>> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter_map(|name| self.get(home, &name)).collect()
    }

    fn make(&self, home: &Service, name: &str) -> Service {
        let checkouts = || Checkouts::new(self.folder.join(name), name, self.bringing.clone());
        let (own, open) = (checkouts(), self.open.clone());
        let opener = Box::new(move |asked: &Asked<'_>| {
            let current = own.current().ok_or_else(|| {
                rollback_engine::error::EngineError::failed("no checkout of this project was brought yet")
                    .hint("`infra-rollback --server URL snapshot` in a clone of it brings one")
            })?;
            open(&own.root(&current).join(&current.folder), asked)
        });
        let mut service = Service::new(home.store.clone(), name, Some(opener));
        service.knowledge = home.knowledge.clone();
        service.approvals = home.approvals;
        service.limits = home.limits;
        service.checkouts = Some(checkouts());
        service.checkout_opener = Some(self.open.clone());
        service.home = Some(home.project.clone());
        service.identities = home.identities.clone();
        service
    }
}
