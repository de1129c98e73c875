//! Which crate may know which: our own edges, the purity of the thinking, and the budget.

use serde_json::Value;

use super::Breach;

/// Our crates, and those of ours that each may depend on.
const EDGES: [(&str, &[&str]); 6] = [
    ("nsgate-packet", &[]),
    ("nsgate-core", &["nsgate-packet"]),
    ("nsgate-kernel", &["nsgate-core", "nsgate-packet"]),
    ("nsgate-observe", &["nsgate-core", "nsgate-kernel", "nsgate-packet"]),
    ("nsgate", &["nsgate-core", "nsgate-kernel", "nsgate-observe", "nsgate-packet"]),
    ("xtask", &[]),
];

/// The pure crates with everything foreign that they may use.
const PURE: [(&str, &[&str]); 2] =
    [("nsgate-packet", &[]), ("nsgate-core", &["ipnet", "serde", "serde_json", "strsim", "thiserror", "toml"])];

/// Crates in the whole build, our own included.
const BUDGET: usize = 120;

/// Edges that should not be.
pub(crate) fn check(metadata: &Value) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let everything = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    if everything.len() > BUDGET {
        let what = format!("{} crates in the build, at most {BUDGET}: which one is worth least?", everything.len());
        breaches.push(Breach::new("Cargo.lock", 0, what));
    }
    for package in everything.iter().filter(|package| package["source"].is_null()) {
        let name = package["name"].as_str().unwrap_or_default();
        let path = format!("crates/{name}/Cargo.toml");
        let Some((_, ours)) = EDGES.iter().find(|(known, _)| *known == name) else {
            breaches.push(Breach::new(
                &path,
                0,
                "a crate that xtask/src/tidy/crates.rs and ARCHITECTURE.md do not know",
            ));
            continue;
        };
        let foreign = PURE.iter().find(|(pure, _)| *pure == name).map(|(_, foreign)| *foreign);
        for dependency in normal_dependencies(package) {
            let own = EDGES.iter().any(|(known, _)| *known == dependency);
            if own && !ours.contains(&dependency) {
                breaches.push(Breach::new(&path, 0, format!("{name} must not know {dependency}")));
            }
            if !own && foreign.is_some_and(|foreign| !foreign.contains(&dependency)) {
                breaches.push(Breach::new(&path, 0, format!("{name} is pure and does without {dependency}")));
            }
        }
    }
    breaches
}

/// The names of what a package is built from; tests may use more.
fn normal_dependencies(package: &Value) -> impl Iterator<Item = &str> {
    let all = package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().filter(|dependency| dependency["kind"].is_null()).filter_map(|dependency| dependency["name"].as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn breaches(name: &str, dependencies: &Value) -> usize {
        check(&json!({"packages": [{"name": name, "source": null, "dependencies": dependencies}]})).len()
    }

    #[test]
    fn edges_point_one_way() {
        assert_eq!(breaches("nsgate-core", &json!([{"name": "nsgate-packet", "kind": null}])), 0);
        assert_eq!(breaches("nsgate-core", &json!([{"name": "nsgate-kernel", "kind": null}])), 1);
        assert_eq!(breaches("nsgate-kernel", &json!([{"name": "nsgate-observe", "kind": "dev"}])), 0);
    }

    #[test]
    fn pure_crates_list_no_door_to_the_system() {
        assert_eq!(breaches("nsgate-core", &json!([{"name": "rustix", "kind": null}])), 1);
        assert_eq!(breaches("nsgate-core", &json!([{"name": "proptest", "kind": "dev"}])), 0);
        assert_eq!(breaches("nsgate-kernel", &json!([{"name": "rustix", "kind": null}])), 0);
    }

    #[test]
    fn unknown_crates_are_breaches() {
        assert_eq!(breaches("nsgate-else", &json!([])), 1);
    }
}
