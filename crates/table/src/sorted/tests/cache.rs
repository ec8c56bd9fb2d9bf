//! Indexes stay in memory while there is room, and the one that was used longest ago goes first.

use super::*;

/// Runs of the same rows, opened with one cache, and a request for them.
fn runs(n: usize, limit: usize, dir: &Path) -> (Vec<Arc<SortedFile>>, Arc<IndexCache>, ScanRequest, Vec<Found>) {
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    let world = World::random(&LOGS, &mut Dice(9));
    let (cache, loss) = (IndexCache::new(limit), Arc::new(Losses::default()));
    let open_run = |i: usize| {
        let Source::File { file, .. } = world.run(&world.units, &fs, dir, &format!("r{i}"), &loss) else { panic!() };
        let path = |kind: &str| dir.join(format!("r{i}.{kind}"));
        open(&LOGS, &fs, &path("data"), &path("series"), file.meta(), loss.clone(), &cache).unwrap()
    };
    let q = ScanRequest::new(&LOGS, TENANTS.with(|t| t[0].clone()), vec![], TimeRange::ALL);
    let want = world.oracle(&q);
    ((0..n).map(open_run).collect(), cache, q, want)
}

fn rows(q: &ScanRequest, file: &Arc<SortedFile>) -> RowStream {
    scan(&LOGS, vec![Source::File { file: file.clone(), hidden_days: vec![] }], q, Arc::new(scan::Unbounded)).unwrap()
}

#[test]
fn indexes_that_were_used_longest_ago_make_room() {
    let dir = tempfile::tempdir().unwrap();
    let (files, cache, q, want) = runs(1, usize::MAX, dir.path());
    assert_eq!(collect(&q, rows(&q, &files[0])).unwrap(), want);
    let one = cache.bytes();
    assert!(one > 0 && one == files[0].cached_bytes());
    drop(files);
    assert_eq!(cache.bytes(), 0, "a file takes its indexes along");

    // Room for four; the first is used between all others.
    let (files, cache, q, want) = runs(12, 4 * one, dir.path());
    for f in &files[1..] {
        assert_eq!(collect(&q, rows(&q, f)).unwrap(), want);
        assert_eq!(collect(&q, rows(&q, &files[0])).unwrap(), want);
        assert!(cache.bytes() <= 4 * one + one, "{} of {one} each", cache.bytes());
        assert_eq!(cache.bytes(), files.iter().map(|f| f.cached_bytes()).sum::<usize>());
    }
    assert!(cache.evictions() >= 8, "{}", cache.evictions());
    assert_eq!((files[0].cached_bytes(), files[11].cached_bytes(), files[1].cached_bytes()), (one, one, 0));
}

#[test]
fn what_a_scan_holds_stays_and_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (files, cache, q, want) = runs(3, 0, dir.path());
    let open: Vec<RowStream> = files.iter().map(|f| rows(&q, f)).collect();
    let one = files[0].cached_bytes();
    assert!(one > 0 && cache.bytes() == 3 * one && cache.evictions() == 0);
    for stream in open {
        assert_eq!(collect(&q, stream).unwrap(), want);
    }
    cache.trim();
    assert_eq!((cache.bytes(), cache.evictions()), (0, 6));
}
