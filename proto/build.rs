//! Compiles the `.proto` files beside this script into the client side that the product needs. No `protoc` is involved.

use std::error::Error;
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from("proto");
    let mut files: Vec<_> =
        fs::read_dir(root.join("teleport"))?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "proto"));
    files.sort();
    let descriptors = protox::compile(&files, [&root])?;
    tonic_prost_build::configure().build_server(false).build_transport(false).compile_fds(descriptors)?;
    println!("cargo:rerun-if-changed=proto");
    // The `version` command names the compiler, as Teleport's tools do.
    let rustc = Command::new(env::var_os("RUSTC").ok_or("no RUSTC")?).arg("--version").output()?;
    let version = String::from_utf8(rustc.stdout)?;
    println!("cargo:rustc-env=RUSTC_VERSION={}", version.split(' ').nth(1).unwrap_or("unknown").trim());
    Ok(())
}
