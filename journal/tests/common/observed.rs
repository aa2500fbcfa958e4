//! A storage that shows other files each time a reader looks anew, as one that is written meanwhile, and counts what is read.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use recover_journal::testing::sim::SimStorage;
use recover_journal::{Access, Reader, Storage, StorageFile};

type Asked = Arc<Mutex<BTreeMap<String, u64>>>;

pub struct Observed {
    looks: Vec<SimStorage>,
    /// How often it was looked at. A look begins with the mark.
    begun: AtomicUsize,
    asked: Asked,
}

impl Observed {
    /// Shows one after the other, and then the last one for ever.
    pub fn looks(looks: impl IntoIterator<Item = SimStorage>) -> Arc<Self> {
        Arc::new(Self { looks: looks.into_iter().collect(), begun: AtomicUsize::new(0), asked: Asked::default() })
    }

    pub fn reader(self: &Arc<Self>) -> Reader {
        Reader::new(Arc::clone(self) as Arc<dyn Storage>)
    }

    /// How many bytes of a file were asked for.
    pub fn asked(&self, path: &str) -> u64 {
        self.asked.lock().unwrap().get(path).copied().unwrap_or(0)
    }

    fn now(&self) -> &SimStorage {
        let look = self.begun.load(Ordering::Relaxed).saturating_sub(1);
        &self.looks[look.min(self.looks.len() - 1)]
    }
}

impl Storage for Observed {
    fn open(&self, path: &str, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        assert_eq!(access, Access::Read, "it is only read");
        if path == "log/acked" {
            self.begun.fetch_add(1, Ordering::Relaxed);
        }
        let file = self.now().open(path, access)?;
        Ok(Arc::new(File { file, path: path.to_owned(), asked: Arc::clone(&self.asked) }))
    }
    fn create_dir(&self, path: &str) -> io::Result<()> {
        panic!("{path} is only read")
    }
    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.now().list(path)
    }
    fn rename(&self, from: &str, _: &str) -> io::Result<()> {
        panic!("{from} is only read")
    }
    fn remove(&self, path: &str) -> io::Result<()> {
        panic!("{path} is only read")
    }
    fn sync_dir(&self, path: &str) -> io::Result<()> {
        panic!("{path} is only read")
    }
}

struct File {
    file: Arc<dyn StorageFile>,
    path: String,
    asked: Asked,
}

impl StorageFile for File {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        *self.asked.lock().unwrap().entry(self.path.clone()).or_default() += into.len() as u64;
        self.file.read_at(into, offset)
    }
    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        panic!("{} is only read", self.path)
    }
    fn sync(&self) -> io::Result<()> {
        panic!("{} is only read", self.path)
    }
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
    fn set_size(&self, _: u64) -> io::Result<()> {
        panic!("{} is only read", self.path)
    }
}
