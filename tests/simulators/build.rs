//! Compiles the `.proto` files under `proto/` into the server side that the simulated Teleport needs,
//! and the client side for its own tests. No `protoc` is involved.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from("../../proto");
    let mut files: Vec<_> =
        fs::read_dir(root.join("teleport"))?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "proto"));
    files.sort();
    let descriptors = protox::compile(&files, [&root])?;
    tonic_prost_build::configure().build_transport(false).include_file("teleport.rs").compile_fds(descriptors)?;
    println!("cargo:rerun-if-changed=../../proto");
    Ok(())
}
