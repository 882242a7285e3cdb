//! What the service has in memory while it is read without a pause.

use std::time::{Duration, Instant};

use rollback_tests::Service;

use crate::wrk;

/// How long it is read before the first look: pages of the database, threads and buffers come with the first requests.
const WARM: Duration = Duration::from_secs(20);

/// Reads all of the paths in turn and prints the memory at the beginning, in the middle and at the end.
pub fn soak(service: &Service, paths: &[&str], token: &str, length: Duration) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = folder.path().join("paths.lua");
    let list: Vec<String> = paths.iter().map(|path| format!("{path:?}")).collect();
    let text = format!(
        "local paths = {{ {} }}\nlocal turn = 0\nrequest = function()\n  turn = turn % #paths + 1\n  return wrk.format(\"GET\", \
         paths[turn])\nend\n",
        list.join(", ")
    );
    std::fs::write(&script, text).expect("a file can be written");
    let before = resident(service.process.pid());
    let reading = wrk::start(&service.url(), &script, token, (WARM + length).as_secs() + 1);
    std::thread::sleep(WARM);
    let begun = Instant::now();
    let mut looks = vec![resident(service.process.pid())];
    while begun.elapsed() < length {
        std::thread::sleep(Duration::from_secs(1));
        looks.push(resident(service.process.pid()));
    }
    let output = reading.wait_with_output().expect("wrk ends");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && !said.contains("Non-2xx"), "{said}");
    let last = looks.len() - 1;
    let mebibytes = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    println!(
        "{} s of all routes in turn, {} reads/s, p99 {}; resident memory before any of them: {}",
        length.as_secs(),
        wrk::word(&said, "Requests/sec:"),
        wrk::word(&said, "99%"),
        mebibytes(before)
    );
    for (name, at) in [
        ("at the beginning", 0),
        ("in the middle", last / 2),
        ("at the end", last),
    ] {
        println!("  {name:<18} {:>12}", mebibytes(looks[at]));
    }
    // The slope of the straight line that fits the second half best: what is still growing then grows for ever.
    let half = &looks[last / 2..];
    println!(
        "  at most            {:>12}",
        mebibytes(looks.iter().copied().max().unwrap_or(0))
    );
    println!(
        "  its second half grows by {:.2} MiB a minute",
        slope(half) * 60.0 / f64::from(1 << 20)
    );
}

/// Bytes a second.
fn slope(looks: &[u64]) -> f64 {
    let count = looks.len() as f64;
    let mean_time = (count - 1.0) / 2.0;
    let mean = looks.iter().map(|look| *look as f64).sum::<f64>() / count;
    let (mut along, mut square) = (0.0, 0.0);
    for (second, look) in looks.iter().enumerate() {
        let offset = second as f64 - mean_time;
        along += offset * (*look as f64 - mean);
        square += offset * offset;
    }
    if square > 0.0 { along / square } else { 0.0 }
}

#[cfg(target_os = "linux")]
fn resident(process: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("the service lives");
    wrk::word(&status, "VmRSS:").parse::<u64>().expect("a number") << 10
}

#[cfg(not(target_os = "linux"))]
fn resident(process: i32) -> u64 {
    let mut ps = std::process::Command::new("ps");
    let output = ps
        .args(["-o", "rss=", "-p", &process.to_string()])
        .output()
        .expect("ps");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.trim().parse::<u64>().expect("the service lives") << 10
}
