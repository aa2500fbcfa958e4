//! Pictures of pages beside those that were looked at and kept: each as a coarse grid of colours, so that a time or an id more or less does
//! not count, and a table that is gone, a colour or a column does.
//!
//! `GOLDEN=write cargo xtask page` keeps what is shown. Another font moves every line: then nothing is compared, and that is said.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine as _;

use crate::driver::Browser;

const COLUMNS: usize = 24;
const ROWS: usize = 18;
/// How far apart two pictures may be on average, of 255.
const MEAN_MOST: f64 = 2.0;
/// A cell that is so far off is another one; so many of them may be.
const OFF: u8 = 20;
const OFF_MOST: usize = COLUMNS * ROWS / 25;

/// Red, green and blue of each cell.
type Grid = Vec<u8>;

/// The pictures that were taken.
pub struct Gallery {
    taken: Vec<(String, Vec<u8>)>,
}

fn kept_at() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/page/golden.txt"))
}

impl Gallery {
    pub const fn new() -> Self {
        Self { taken: Vec::new() }
    }

    pub fn hang(&mut self, name: String, picture: Vec<u8>) {
        self.taken.push((name, picture));
    }

    /// What came of comparing all of them with what was kept, in a sentence.
    pub fn compared(self, browser: &Browser) -> String {
        browser.go("about:blank");
        browser.size(1_280, 900);
        let font = font(browser);
        let shown: BTreeMap<String, Grid> =
            self.taken.into_iter().map(|(name, picture)| (name, grid(browser, &picture))).collect();
        // A comparison that cannot fail is none: pictures of different things are told apart.
        for (name, one) in &shown {
            let parts = |name: &str| name.split_once('-').map(|(page, how)| (page.to_owned(), how.to_owned()));
            let (page, how) = parts(name).unwrap();
            let others = shown.iter().filter(|(other, _)| parts(other).is_some_and(|(p, h)| p != page && h == how));
            for (other, another) in others {
                assert!(differ(one, another).is_some(), "{name} and {other} cannot be told apart");
            }
        }
        if std::env::var_os("GOLDEN").is_some_and(|word| word == "write") {
            std::fs::write(kept_at(), written(&font, &shown)).unwrap();
            return format!("{} pictures are kept", shown.len());
        }
        let (kept_font, kept) = read(&std::fs::read_to_string(kept_at()).unwrap());
        if kept_font != font {
            return format!(
                "NOT COMPARED: the fonts here are others ({font}) than those of the kept pictures ({kept_font})"
            );
        }
        let names = |of: &BTreeMap<String, Grid>| of.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&shown), names(&kept), "GOLDEN=write keeps what is shown");
        let off: Vec<String> = shown
            .iter()
            .filter_map(|(name, grid)| differ(grid, &kept[name]).map(|how| format!("{name}: {how}")))
            .collect();
        assert!(off.is_empty(), "not as they were kept (look at target/tmp/page, then GOLDEN=write): {off:#?}");
        format!("{} pictures as they were kept", shown.len())
    }
}

/// How two grids differ, where that is more than a little.
fn differ(one: &Grid, other: &Grid) -> Option<String> {
    let apart: Vec<u8> = one.iter().zip(other).map(|(a, b)| a.abs_diff(*b)).collect();
    let mean = apart.iter().map(|n| f64::from(*n)).sum::<f64>() / apart.len() as f64;
    let off = apart.chunks(3).filter(|cell| cell.iter().any(|n| *n >= OFF)).count();
    (mean > MEAN_MOST || off > OFF_MOST).then(|| format!("{mean:.2} of 255 apart on average, {off} cells are others"))
}

/// How wide words are here, in the fonts that the pages use.
fn font(browser: &Browser) -> String {
    let widths = browser.script(
        "const c = new OffscreenCanvas(1, 1).getContext('2d'); \
         return ['16px system-ui', '600 16px system-ui', '14px ui-monospace, monospace'].map((font) => { c.font = font; \
         return Math.round(c.measureText('Whoever began it does not approve it ✓ 0123456789').width); }).join('/')",
    );
    widths.as_str().unwrap_or_default().to_owned()
}

fn grid(browser: &Browser, picture: &[u8]) -> Grid {
    let text = base64::prelude::BASE64_STANDARD.encode(picture);
    let script = format!(
        "const bytes = Uint8Array.from(atob('{text}'), (c) => c.charCodeAt(0)); \
         return createImageBitmap(new Blob([bytes], {{ type: 'image/png' }})).then((map) => {{ \
           const [wide, high] = [{COLUMNS} * 8, {ROWS} * 8]; \
           const context = new OffscreenCanvas(wide, high).getContext('2d'); \
           context.imageSmoothingQuality = 'high'; context.drawImage(map, 0, 0, wide, high); \
           const {{ data }} = context.getImageData(0, 0, wide, high); \
           const sums = new Array({COLUMNS} * {ROWS} * 3).fill(0); \
           for (let y = 0; y < high; y++) for (let x = 0; x < wide; x++) for (let k = 0; k < 3; k++) \
             sums[((y >> 3) * {COLUMNS} + (x >> 3)) * 3 + k] += data[(y * wide + x) * 4 + k]; \
           return sums.map((sum) => Math.round(sum / 64)); }})"
    );
    let told = browser.script(&script);
    told.as_array().unwrap().iter().map(|n| u8::try_from(n.as_u64().unwrap()).unwrap()).collect()
}

fn written(font: &str, pictures: &BTreeMap<String, Grid>) -> String {
    let mut out = format!("font {font}\n");
    for (name, grid) in pictures {
        for row in grid.chunks(COLUMNS * 3) {
            let cells: String = row.iter().map(|n| format!("{n:02x}")).collect();
            out.push_str(&format!("{name} {cells}\n"));
        }
    }
    out
}

fn read(text: &str) -> (String, BTreeMap<String, Grid>) {
    let (mut font, mut pictures) = (String::new(), BTreeMap::<String, Grid>::new());
    for (name, rest) in text.lines().filter_map(|line| line.split_once(' ')) {
        if name == "font" {
            font = rest.to_owned();
        } else {
            let cells =
                rest.as_bytes().chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap());
            pictures.entry(name.to_owned()).or_default().extend(cells);
        }
    }
    (font, pictures)
}
