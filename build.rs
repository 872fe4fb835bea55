//! Makes the build notice new files in the embedded kit: `include_dir!` only tracks files that existed before.
fn main() {
    for folder in ["environments", "templates", "secrets"] {
        println!("cargo::rerun-if-changed={folder}");
    }
}
