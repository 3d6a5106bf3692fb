//! A containerd of a test's own: in a directory, in a user namespace where it is root, and killed when dropped.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::tools;

/// A running containerd.
pub struct Containerd {
    child: Child,
    directory: TempDir,
}

/// Where it unpacks images: the only way that needs no more than the right to mount.
const SNAPSHOTTER: &str = "native";

/// Long, because two cores may be busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program as root of a user namespace with mounts of its own, whoever runs the tests; it keeps its process id.
pub fn as_root(program: &str) -> Command {
    let mut command = Command::new(tools::path("unshare"));
    command.args(["--map-root-user", "--mount"]).arg(tools::path(program));
    command
}

impl Containerd {
    /// Starts one and waits until it answers.
    pub fn start() -> Self {
        // A socket's path has at most 108 bytes.
        let directory = tempfile::Builder::new().prefix("xpost-ctr-").tempdir_in("/tmp").unwrap();
        let at = |name: &str| directory.path().join(name);
        let unused = ["overlayfs", "btrfs", "zfs", "aufs", "devmapper"];
        let unused =
            unused.map(|name| format!("\"io.containerd.snapshotter.v1.{name}\"")).join(", ");
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.internal.v1.opt\", {unused}]\n\
             [grpc]\naddress = {:?}\n[ttrpc]\naddress = {:?}\n",
            at("root"),
            at("state"),
            at("sock"),
            at("ttrpc"),
        );
        std::fs::write(at("config.toml"), config).unwrap();
        let log = File::create(at("log")).unwrap();
        let child = as_root("containerd")
            .arg("--config")
            .arg(at("config.toml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        // From here it is killed, whatever goes wrong.
        let mut containerd = Self { child, directory };
        let deadline = Instant::now() + PATIENCE;
        while !tools::output(containerd.ctr().arg("version")).status.success() {
            let ended = containerd.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "{}", containerd.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        containerd
    }

    /// Its own client.
    pub fn ctr(&self) -> Command {
        let mut ctr = tools::tool("ctr", self.directory.path());
        ctr.arg("--address").arg(self.directory.path().join("sock"));
        ctr.env("CONTAINERD_SNAPSHOTTER", SNAPSHOTTER);
        ctr
    }

    /// A file of one of the images that it unpacked.
    pub fn unpacked(&self, path: &str) -> Vec<Vec<u8>> {
        let plugin = format!("root/io.containerd.snapshotter.v1.{SNAPSHOTTER}/snapshots");
        let snapshots = std::fs::read_dir(self.directory.path().join(plugin)).unwrap();
        snapshots.filter_map(|entry| std::fs::read(entry.unwrap().path().join(path)).ok()).collect()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        // By its own id, and then waited for; its mounts end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// podman with a storage of its own in `home`. It may load and pull here; to run a container takes more rights.
pub fn podman(home: &Path) -> Command {
    let mut podman = as_root("podman");
    for (name, directory) in [("--root", "podman"), ("--runroot", "podman-run")] {
        podman.arg(name).arg(home.join(directory));
    }
    podman.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]);
    podman.env("HOME", home).env_remove("XDG_RUNTIME_DIR");
    podman
}
