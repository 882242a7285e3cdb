//! An issuer's keys as they were last heard of. They are asked for again when they are old, or when a token names one
//! that is not among them, and then so seldom that no number of tokens makes a storm of requests.

use std::sync::{Arc, Mutex, PoisonError, RwLock, TryLockError};
use std::time::{Duration, Instant};

use super::keys::{Key, KeySet};

/// For so long keys count of an issuer that does not answer any more.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// How often an issuer is asked.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How long keys are good before they are asked for again: so long one that was taken back goes on counting.
    pub refresh: Duration,
    /// The shortest time between two requests, answered or not.
    pub pause: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            refresh: Duration::from_secs(60 * 60),
            pause: Duration::from_secs(30),
        }
    }
}

/// Why there is no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The issuer has none of this id.
    Unknown,
    /// The issuer cannot be asked now.
    Unavailable,
}

#[derive(Clone, Default)]
struct Heard {
    keys: Arc<KeySet>,
    /// When the issuer last answered, and when it was last asked.
    answered: Option<Instant>,
    asked: Option<Instant>,
    failed: bool,
}

impl Heard {
    fn key(&self, id: &str) -> Option<Key> {
        self.keys
            .get(id)
            .filter(|_| is_younger(self.answered, LONGEST))
            .cloned()
    }
}

fn is_younger(then: Option<Instant>, age: Duration) -> bool {
    then.is_some_and(|then| then.elapsed() < age)
}

type Ask = Box<dyn Fn() -> Result<KeySet, String> + Send + Sync>;

/// The keys of one issuer.
pub struct Keys {
    ask: Ask,
    pace: Pace,
    heard: RwLock<Heard>,
    asking: Mutex<()>,
}

impl Keys {
    pub fn new(pace: Pace, ask: impl Fn() -> Result<KeySet, String> + Send + Sync + 'static) -> Keys {
        Keys {
            ask: Box::new(ask),
            pace,
            heard: RwLock::default(),
            asking: Mutex::default(),
        }
    }

    /// The key of this id. One caller at a time waits for the issuer; the others go on with what is known.
    ///
    /// # Errors
    /// Why there is none.
    pub fn get(&self, id: &str) -> Result<Key, Missing> {
        let heard = self.heard();
        if let Some(key) = heard.key(id)
            && is_younger(heard.answered, self.pace.refresh)
        {
            return Ok(key);
        }
        if !is_younger(heard.asked, self.pace.pause) {
            let place = match heard.answered {
                // Nothing is known yet: whoever comes waits, too.
                None => Some(self.asking.lock().unwrap_or_else(PoisonError::into_inner)),
                Some(_) => match self.asking.try_lock() {
                    Ok(place) => Some(place),
                    Err(TryLockError::Poisoned(place)) => Some(place.into_inner()),
                    Err(TryLockError::WouldBlock) => None,
                },
            };
            match place {
                // Whoever had the place before may have asked already.
                Some(_place) if !is_younger(self.heard().asked, self.pace.pause) => self.hear(),
                Some(_) => {}
                None => return heard.key(id).ok_or(Missing::Unavailable),
            }
        }
        let heard = self.heard();
        match heard.key(id) {
            Some(key) => Ok(key),
            None if heard.failed => Err(Missing::Unavailable),
            None => Err(Missing::Unknown),
        }
    }

    fn heard(&self) -> Heard {
        self.heard.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hear(&self) {
        let answer = (self.ask)();
        let mut heard = self.heard.write().unwrap_or_else(PoisonError::into_inner);
        let now = Some(Instant::now());
        heard.asked = now;
        heard.failed = answer.is_err();
        match answer {
            Ok(keys) => {
                heard.keys = Arc::new(keys);
                heard.answered = now;
            }
            Err(why) => tracing::error!(why, "the keys of an issuer of identity tokens cannot be had"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;

    use super::*;

    fn set(ids: &[&str]) -> KeySet {
        let keys: Vec<_> = (ids.iter())
            .map(|id| json!({ "kty": "OKP", "crv": "Ed25519", "kid": id, "x": "A".repeat(43) }))
            .collect();
        KeySet::read(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
    }

    struct Issuer {
        answer: Mutex<Result<KeySet, String>>,
        asked: AtomicUsize,
    }

    fn issuer(pace: Pace) -> (Arc<Issuer>, Keys) {
        let issuer = Arc::new(Issuer {
            answer: Mutex::new(Ok(set(&["a"]))),
            asked: AtomicUsize::new(0),
        });
        let own = issuer.clone();
        let keys = Keys::new(pace, move || {
            own.asked.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(20));
            own.answer.lock().unwrap().clone()
        });
        (issuer, keys)
    }

    const LONG: Duration = Duration::from_secs(1000);
    const SHORT: Duration = Duration::from_millis(100);

    #[test]
    fn a_thousand_unknown_ids_ask_once() {
        let (issuer, keys) = issuer(Pace {
            refresh: LONG,
            pause: LONG,
        });
        std::thread::scope(|scope| {
            for thread in 0..10 {
                let keys = &keys;
                scope.spawn(move || {
                    for number in 0..100 {
                        assert_eq!(keys.get(&format!("{thread}-{number}")), Err(Missing::Unknown));
                        assert!(keys.get("a").is_ok());
                    }
                });
            }
        });
        assert_eq!(issuer.asked.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_new_key_is_found_after_the_pause_and_one_taken_back_is_gone() {
        let (issuer, keys) = issuer(Pace {
            refresh: LONG,
            pause: SHORT,
        });
        assert!(keys.get("a").is_ok());
        *issuer.answer.lock().unwrap() = Ok(set(&["b"]));
        assert_eq!(keys.get("b"), Err(Missing::Unknown), "asked a moment ago");
        std::thread::sleep(SHORT);
        assert!(keys.get("a").is_ok(), "not old yet");
        assert!(keys.get("b").is_ok());
        assert_eq!(keys.get("a"), Err(Missing::Unknown));
        assert_eq!(issuer.asked.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn old_keys_are_asked_for_again_and_go_on_while_the_issuer_is_down() {
        let (issuer, keys) = issuer(Pace {
            refresh: SHORT,
            pause: SHORT,
        });
        assert!(keys.get("a").is_ok());
        *issuer.answer.lock().unwrap() = Err("down".to_owned());
        std::thread::sleep(SHORT);
        assert!(keys.get("a").is_ok());
        assert_eq!(keys.get("b"), Err(Missing::Unavailable));
        assert_eq!(issuer.asked.load(Ordering::SeqCst), 2);
        *issuer.answer.lock().unwrap() = Ok(set(&["b"]));
        std::thread::sleep(SHORT);
        assert_eq!(keys.get("a"), Err(Missing::Unknown), "it was taken back");
        assert!(keys.get("b").is_ok());
    }

    #[test]
    fn without_any_answer_there_is_no_key() {
        let (issuer, keys) = issuer(Pace {
            refresh: LONG,
            pause: LONG,
        });
        *issuer.answer.lock().unwrap() = Err("down".to_owned());
        for _ in 0..10 {
            assert_eq!(keys.get("a"), Err(Missing::Unavailable));
        }
        assert_eq!(issuer.asked.load(Ordering::SeqCst), 1);
    }
}
