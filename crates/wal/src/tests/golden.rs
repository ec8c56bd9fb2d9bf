//! A log written by version 1 of the format must open for ever.

use super::*;

const SEGMENTS: [(&str, &[u8]); 2] = [
    ("00000000000000000001.wal", include_bytes!("../../tests/golden/v1/00000000000000000001.wal")),
    ("00000000000000000004.wal", include_bytes!("../../tests/golden/v1/00000000000000000004.wal")),
];

/// Two segments, three groups, the second segment sealed.
fn write(fs: &SimFs) -> Vec<Owned> {
    let (mut wal, ..) = open(fs);
    let mut frames = vec![];
    let mut put = |wal: &mut Wal, kind: u8, payload: &[u8]| {
        frames.push((wal.append(kind, &[payload]).unwrap(), kind, payload.to_vec()));
    };
    put(&mut wal, 1, b"first frame of the first group");
    put(&mut wal, 2, b"");
    wal.sync().unwrap();
    put(&mut wal, 255, &[0xa5; 40]);
    wal.sync().unwrap();
    wal.rotate().unwrap();
    put(&mut wal, 3, b"in the second segment");
    wal.sync().unwrap();
    wal.close().unwrap();
    frames
}

#[test]
fn version_1_opens() {
    let fs = SimFs::default();
    let frames = write(&SimFs::default());
    fs.create_dir_all(Path::new(DIR)).unwrap();
    for (name, bytes) in SEGMENTS {
        disk::write_durably(&fs, &Path::new(DIR).join(name), bytes).unwrap();
    }
    let (_, r, got) = open(&fs);
    assert_eq!(got, frames);
    assert_eq!((r.damage.len(), r.torn_tail_bytes, r.next_seq), (0, 0, 5));
}

/// What is written today is version 1. `UPDATE_GOLDEN=1` writes the files anew, which only a new version may do.
#[test]
fn version_1_is_written() {
    let fs = SimFs::default();
    write(&fs);
    let written: Vec<(String, Vec<u8>)> = segment_files(&fs)
        .into_iter()
        .map(|p| (p.file_name().unwrap().to_string_lossy().into_owned(), disk::read(&fs, &p).unwrap()))
        .collect();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        for (name, bytes) in &written {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1").join(name);
            disk::write_durably(&RealFs, &path, bytes).unwrap();
        }
    }
    let want: Vec<(String, Vec<u8>)> = SEGMENTS.iter().map(|(n, b)| (n.to_string(), b.to_vec())).collect();
    assert_eq!(written, want);
}
