//! Objects of the chart, as helm renders them for one room.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The name of the release.
pub const RELEASE: &str = "operator";

/// What `templates` (file names) render in a namespace that alone is watched, with more `--set-json` values.
pub fn rendered(namespace: &str, templates: &[&str], values: &[&str]) -> Vec<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let built = Command::new(root.join("hack/kubernetes/build.sh")).arg("helm").output().unwrap();
    assert!(built.status.success(), "hack/kubernetes/build.sh helm: {}", String::from_utf8_lossy(&built.stderr));
    let folder = String::from_utf8(built.stdout).unwrap();
    let mut helm = Command::new(Path::new(folder.trim()).join("helm"));
    helm.args(["template", RELEASE, "charts/slack-access-operator", "--kube-version=1.34.0", "--namespace", namespace]);
    helm.args(["--set-json", &format!("watchNamespaces=[\"{namespace}\"]")]);
    helm.args(templates.iter().map(|template| format!("--show-only=templates/{template}")));
    helm.args(values.iter().flat_map(|value| ["--set-json", value]));
    let output = helm.current_dir(root).output().unwrap();
    assert!(output.status.success(), "helm template: {}", String::from_utf8_lossy(&output.stderr));
    let objects: Vec<Value> = serde_saphyr::from_multiple(&String::from_utf8(output.stdout).unwrap()).unwrap();
    objects.into_iter().filter(|object| !object.is_null()).collect()
}
