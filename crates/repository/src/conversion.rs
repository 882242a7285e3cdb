//! What a checkout makes of blobs: line ends, encodings, filters such as Git LFS and git-crypt (gitattributes(5), `text`,
//! `eol`, `ident`, `working-tree-encoding`, `filter`). Terraform reads files as a checkout has them, so that a folder made of
//! blobs alone would apply something that nobody ever had.
//!
//! libgit2 runs no filter programs. The `git` program does this: it is given the commit's own id and, on its standard input,
//! paths of the commit's tree.

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::{CommitId, Materialised, Repository, RepositoryError};

/// Attributes that change what a checkout writes.
const ATTRIBUTES: &[&str] = &["filter", "eol", "ident", "working-tree-encoding", "text"];

impl Repository {
    /// Writes those of a commit's files anew, below the folder in which they were materialised, that a checkout converts.
    /// `scratch` is the path of a file that is made and removed. Gives their paths; nothing is asked where no attribute and
    /// no setting could convert anything.
    ///
    /// # Errors
    /// [`RepositoryError::Conversion`]: the `git` program is missing, or a filter failed.
    pub fn convert(
        &self,
        id: &CommitId,
        tree: &Path,
        written: &Materialised,
        scratch: &Path,
    ) -> Result<Vec<String>, RepositoryError> {
        // The files of a submodule are in no index of this repository.
        let own = |path: &&String| {
            let mut submodules = written.submodules.iter();
            !submodules.any(|submodule| {
                path.strip_prefix(submodule.as_str())
                    .is_some_and(|rest| rest.starts_with('/'))
            })
        };
        let files: Vec<String> = written.files.iter().filter(own).cloned().collect();
        let files = files.as_slice();
        if !self.may_convert(tree, files) {
            return Ok(Vec::new());
        }
        let git = Git {
            folder: self.git.path(),
            tree,
            index: scratch,
        };
        let converted = git.run(&["read-tree", id.as_str()], b"").and_then(|_| {
            let chosen = self.chosen(&git, files)?;
            if !chosen.is_empty() {
                git.run(
                    &["checkout-index", "--force", "--quiet", "-z", "--stdin"],
                    &joined(&chosen),
                )?;
            }
            Ok(chosen)
        });
        let _ = std::fs::remove_file(scratch);
        converted
    }

    /// Whether any attribute or setting is there that could convert a file.
    fn may_convert(&self, tree: &Path, files: &[String]) -> bool {
        let speaks = |path: &Path| {
            std::fs::read(path).is_ok_and(|text| {
                let text = String::from_utf8_lossy(&text);
                ATTRIBUTES.iter().any(|name| text.contains(name))
            })
        };
        let settings = self.git.config().ok();
        let setting = |name: &str| settings.as_ref().and_then(|settings| settings.get_string(name).ok());
        let of_person = setting("core.attributesfile").is_some_and(|path| speaks(Path::new(&path)));
        self.converts_line_ends()
            || of_person
            || speaks(&self.git.path().join("info/attributes"))
            || files
                .iter()
                .filter(|path| path.rsplit('/').next() == Some(".gitattributes"))
                .any(|path| speaks(&tree.join(path)))
    }

    /// Whether text without a word of its own about line ends gets CRLF.
    fn converts_line_ends(&self) -> bool {
        let settings = self.git.config().ok();
        settings.is_some_and(|settings| {
            settings.get_bool("core.autocrlf").unwrap_or(false)
                || settings
                    .get_string("core.eol")
                    .is_ok_and(|eol| eol.eq_ignore_ascii_case("crlf"))
        })
    }

    /// The files whose attributes, as the commit has them, convert something.
    fn chosen(&self, git: &Git<'_>, files: &[String]) -> Result<Vec<String>, RepositoryError> {
        if self.converts_line_ends() {
            return Ok(files.to_vec());
        }
        let mut arguments = vec!["check-attr", "--cached", "-z", "--stdin"];
        arguments.extend(&ATTRIBUTES[..ATTRIBUTES.len() - 1]);
        let told = git.run(&arguments, &joined(files))?;
        let told = String::from_utf8_lossy(&told).into_owned();
        let words: Vec<&str> = told.split('\0').collect();
        let mut chosen: Vec<String> = words
            .chunks_exact(3)
            .filter(|told| !matches!(told[2], "unspecified" | "unset" | "lf"))
            .map(|told| told[0].to_owned())
            .collect();
        chosen.dedup();
        Ok(chosen)
    }
}

fn joined(paths: &[String]) -> Vec<u8> {
    paths
        .iter()
        .flat_map(|path| [path.as_bytes(), b"\0"].concat())
        .collect()
}

/// The `git` program on a repository, with a working folder and an index of our own.
struct Git<'a> {
    folder: &'a Path,
    tree: &'a Path,
    index: &'a Path,
}

impl Git<'_> {
    fn run(&self, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, RepositoryError> {
        let fail = |message: String| RepositoryError::Conversion {
            what: format!("git {}", arguments[0]),
            message,
        };
        let mut command = Command::new("git");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("GIT_") && name != OsStr::new("GIT_SSH_COMMAND") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .env("GIT_DIR", self.folder)
            .env("GIT_WORK_TREE", self.tree)
            .env("GIT_INDEX_FILE", self.index)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("LC_ALL", "C")
            .current_dir(self.tree)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| fail(format!("git cannot be started: {error}")))?;
        let stdin = child.stdin.take();
        let (written, output) = std::thread::scope(|scope| {
            let writing = scope.spawn(move || stdin.map_or(Ok(()), |mut stdin| stdin.write_all(input)));
            let output = child.wait_with_output();
            (
                writing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                output,
            )
        });
        let output = output.map_err(|error| fail(error.to_string()))?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            return Err(fail(
                words.lines().next().unwrap_or("it failed without a word").to_owned(),
            ));
        }
        written.map_err(|error| fail(error.to_string()))?;
        Ok(output.stdout)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Sandbox;

    fn written(sandbox: &Sandbox, commit: &crate::CommitId, path: &str) -> (Vec<u8>, Vec<String>) {
        let into = tempfile::tempdir().unwrap();
        let tree = into.path().join("tree");
        let repository = sandbox.open();
        let done = repository.materialise(commit, &tree, &|_| true).unwrap();
        let scratch = into.path().join("index");
        let converted = repository.convert(commit, &tree, &done, &scratch).unwrap();
        assert!(!scratch.exists());
        (std::fs::read(tree.join(path)).unwrap(), converted)
    }

    #[test]
    fn what_nothing_converts_is_left_as_it_is() {
        let mut sandbox = Sandbox::new();
        sandbox.write("a b.txt", "one\ntwo\n");
        sandbox.write(".gitattributes", "*.png binary\n* text=auto\n");
        let commit = sandbox.commit("plain");
        assert_eq!(written(&sandbox, &commit, "a b.txt"), (b"one\ntwo\n".to_vec(), vec![]));
    }

    #[test]
    fn line_ends_and_filters_as_the_commit_has_them() {
        let mut sandbox = Sandbox::new();
        sandbox.git(&["config", "filter.rot.smudge", "tr a-z n-za-m"]);
        sandbox.git(&["config", "filter.rot.clean", "tr a-z n-za-m"]);
        sandbox.write("deep/a b.txt", "one\ntwo\n");
        sandbox.write("secret", "hello");
        sandbox.write(".gitattributes", "*.txt text eol=crlf\nsecret filter=rot\n");
        let commit = sandbox.commit("converted");
        // Today's attributes say nothing of it.
        sandbox.write(".gitattributes", "");
        sandbox.commit("not any more");
        let (text, converted) = written(&sandbox, &commit, "deep/a b.txt");
        assert_eq!((text, converted.len()), (b"one\r\ntwo\r\n".to_vec(), 2));
        assert_eq!(written(&sandbox, &commit, "secret").0, b"hello");
    }

    #[test]
    fn a_filter_that_fails_is_an_error() {
        let mut sandbox = Sandbox::new();
        sandbox.write("secret", "hello");
        sandbox.write(".gitattributes", "secret filter=locked\n");
        let commit = sandbox.commit("locked");
        sandbox.git(&["config", "filter.locked.smudge", "false"]);
        sandbox.git(&["config", "filter.locked.required", "true"]);
        let into = tempfile::tempdir().unwrap();
        let tree = into.path().join("tree");
        let repository = sandbox.open();
        let done = repository.materialise(&commit, &tree, &|_| true).unwrap();
        let error = repository
            .convert(&commit, &tree, &done, &into.path().join("index"))
            .unwrap_err();
        assert!(error.to_string().contains("checkout-index"), "{error}");
        assert!(error.hint().is_some());
    }
}
