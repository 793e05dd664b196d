//! What was measured on.

use std::fs;

/// The machine's facts, a line each.
pub(crate) fn facts() -> String {
    let value = |path: &str, key: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key)).map(str::to_owned);
        line.and_then(|line| line.split_once(':').map(|(_, value)| value.trim().to_owned()))
    };
    let unknown = || "unknown".to_owned();
    let whole = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned());
    let cores = std::thread::available_parallelism().map_or_else(|_| unknown(), |cores| cores.to_string());
    [
        ("processor", value("/proc/cpuinfo", "model name").unwrap_or_else(unknown)),
        ("cores", cores),
        ("memory", value("/proc/meminfo", "MemTotal").unwrap_or_else(unknown)),
        ("kernel", whole("/proc/sys/kernel/osrelease").unwrap_or_else(|_| unknown())),
        ("load before", whole("/proc/loadavg").unwrap_or_else(|_| unknown())),
        (
            "Teleport",
            "14.2.3, Auth and Proxy in one process, sqlite, on loopback; plugins dial Auth directly".to_owned(),
        ),
        ("Slack", "simulated, in the bench's process, over plain HTTP".to_owned()),
    ]
    .map(|(name, value)| format!("{name:<12} {value}"))
    .join("\n")
}
