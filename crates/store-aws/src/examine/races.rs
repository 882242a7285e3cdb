use std::collections::BTreeSet;

use futures_util::future::join_all;
use rollback_release::{Created, Operation, Replaced, StoreError, Transacted, Version};
use tokio::time::Instant;

use super::{Finding, Probe, Thoroughness};
use crate::manifests;
use crate::transaction::transact;

/// What is wrong with the server; `None` where a round went as it must.
type Round = Result<Option<String>, StoreError>;

pub(super) async fn examine(probe: &Probe<'_>, thoroughness: &Thoroughness, progress: &dyn Fn(&str)) -> Vec<Finding> {
    let writers = thoroughness.writers;
    vec![
        race("S3 If-None-Match", thoroughness, progress, async |round| {
            let key = probe.name(&format!("create/{round}"));
            let answers = join_all((0..writers).map(async |number| {
                Ok(match manifests::create(probe.objects, &key, &content(number)).await? {
                    Created::Yes(version) => Some(version),
                    Created::Exists => None,
                })
            }))
            .await;
            judge(
                "created one object",
                answers,
                manifests::get(probe.objects, &key).await?,
            )
        })
        .await,
        race("S3 If-Match", thoroughness, progress, async |round| {
            let key = probe.name(&format!("replace/{round}"));
            let Created::Yes(seen) = manifests::create(probe.objects, &key, b"before").await? else {
                return Ok(Some("an object of a new name was there already".to_owned()));
            };
            let answers =
                join_all((0..writers).map(async |number| {
                    replaced(manifests::replace(probe.objects, &key, &seen, &content(number)).await)
                }))
                .await;
            judge(
                "replaced one object",
                answers,
                manifests::get(probe.objects, &key).await?,
            )
        })
        .await,
        race("DynamoDB creation", thoroughness, progress, async |round| {
            let key = probe.name(&format!("create/{round}"));
            let answers = join_all((0..writers).map(async |number| {
                Ok(match probe.table.create(&key, &content(number)).await? {
                    Created::Yes(version) => Some(version),
                    Created::Exists => None,
                })
            }))
            .await;
            judge("created one item", answers, probe.table.get(&key).await?)
        })
        .await,
        race("DynamoDB condition", thoroughness, progress, async |round| {
            let key = probe.name(&format!("replace/{round}"));
            let Created::Yes(seen) = probe.table.create(&key, b"before").await? else {
                return Ok(Some("an item of a new key was there already".to_owned()));
            };
            let answers = join_all(
                (0..writers).map(async |number| replaced(probe.table.replace(&key, &seen, &content(number)).await)),
            )
            .await;
            judge("replaced one item", answers, probe.table.get(&key).await?)
        })
        .await,
        race("DynamoDB transaction", thoroughness, progress, async |round| {
            let key = probe.name(&format!("transact/{round}"));
            let answers = join_all((0..writers).map(async |number| {
                let value = content(number);
                let operations = [Operation::Create {
                    key: &key,
                    value: &value,
                }];
                Ok(match transact(probe.table, &operations).await? {
                    Transacted::Yes(mut versions) => versions.pop(),
                    Transacted::Refused { .. } => None,
                })
            }))
            .await;
            judge(
                "created one item in transactions",
                answers,
                probe.table.get(&key).await?,
            )
        })
        .await,
        race("DynamoDB fence", thoroughness, progress, async |round| {
            fence(probe, writers, round).await
        })
        .await,
    ]
}

/// What writer `number` writes.
fn content(number: usize) -> Vec<u8> {
    format!("writer {number}").into_bytes()
}

fn replaced(result: Result<Replaced, StoreError>) -> Result<Option<Version>, StoreError> {
    Ok(match result? {
        Replaced::Yes(version) => Some(version),
        Replaced::Changed => None,
    })
}

/// Exactly one writer was told yes, and what is there is its own.
fn judge(did: &str, answers: Vec<Result<Option<Version>, StoreError>>, there: Option<(Vec<u8>, Version)>) -> Round {
    let mut winners = Vec::new();
    let number = answers.len();
    for (writer, answer) in answers.into_iter().enumerate() {
        if let Some(version) = answer? {
            winners.push((content(writer), version));
        }
    }
    Ok(match winners.as_slice() {
        [winner] if there.as_ref() == Some(winner) => None,
        [_] => Some(format!(
            "one of {number} writers was told that it {did}, and another one's value is there"
        )),
        _ => Some(format!(
            "{} of {number} writers were told that they alone {did}",
            winners.len()
        )),
    })
}

/// Writers whose transactions check a counter get nothing in once it was raised, and lose nothing that was let in.
async fn fence(probe: &Probe<'_>, writers: usize, round: usize) -> Round {
    let counter = probe.name(&format!("fence/{round}/counter"));
    let journal = probe.name(&format!("fence/{round}/journal/"));
    let Created::Yes(held) = probe.table.create(&counter, b"1").await? else {
        return Ok(Some("an item of a new key was there already".to_owned()));
    };
    let write = async |writer: usize| {
        let mut accepted = Vec::new();
        for step in 0..2 {
            let key = format!("{journal}{writer:03}-{step}");
            let operations = [
                Operation::Check {
                    key: &counter,
                    expected: &held,
                },
                Operation::Create { key: &key, value: b"x" },
            ];
            if let Transacted::Yes(_) = transact(probe.table, &operations).await? {
                accepted.push(key);
            }
        }
        Ok::<_, StoreError>(accepted)
    };
    let raise = async {
        // Not before everybody else has begun.
        tokio::task::yield_now().await;
        let raised = replaced(probe.table.replace(&counter, &held, b"2").await)?;
        let keys = probe.table.keys(&journal, None, usize::MAX).await?;
        // However fast the others were, one comes too late.
        let late = format!("{journal}late");
        let operations = [
            Operation::Check {
                key: &counter,
                expected: &held,
            },
            Operation::Create {
                key: &late,
                value: b"x",
            },
        ];
        match transact(probe.table, &operations).await? {
            Transacted::Yes(_) | Transacted::Refused { .. } => {}
        }
        Ok::<_, StoreError>((raised, keys))
    };
    let (accepted, raised) = futures_util::future::join(join_all((0..writers).map(write)), raise).await;
    let (raised, at_the_raise) = raised?;
    let at_the_end = probe.table.keys(&journal, None, usize::MAX).await?;
    let mut told = BTreeSet::new();
    for keys in accepted {
        told.extend(keys?);
    }
    Ok(
        if raised.is_none() || probe.table.get(&counter).await?.map(|(value, _)| value) != Some(b"2".to_vec()) {
            Some("a counter that nobody else wrote did not keep its new value".to_owned())
        } else if at_the_end.len() > at_the_raise.len() {
            Some(format!(
                "{} transactions were let in after the counter that they check was raised",
                at_the_end.len() - at_the_raise.len()
            ))
        } else if !told.iter().eq(at_the_end.iter()) {
            Some(format!(
                "{} transactions were said to be done and {} are there",
                told.len(),
                at_the_end.len()
            ))
        } else {
            None
        },
    )
}

async fn race(
    what: &str,
    thoroughness: &Thoroughness,
    progress: &dyn Fn(&str),
    mut round: impl AsyncFnMut(usize) -> Round,
) -> Finding {
    progress(&format!("{what}: {} writers at once", thoroughness.writers));
    let started = Instant::now();
    let mut rounds = 0;
    while rounds < thoroughness.rounds && (rounds < 2 || thoroughness.time.is_none_or(|time| started.elapsed() < time))
    {
        match round(rounds).await {
            Ok(None) => {}
            Ok(Some(lie)) => {
                return Finding::bad(
                    what,
                    format!("this server does not keep its promise: in round {} {lie}", rounds + 1),
                    ["a store on it can lose releases and run two rollbacks at once: use AWS, or a server that passes \
                      this (a newer version of it may)"
                        .to_owned()],
                );
            }
            Err(error) => return Finding::failed(what, &error),
        }
        rounds += 1;
    }
    Finding::good(
        what,
        format!("{} writers, {rounds} rounds, one winner each", thoroughness.writers),
    )
}
