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
    let (one, table) = sizes(&cache);
    assert_eq!(cache.bytes(), one + table);
    drop(files);
    assert_eq!(cache.bytes(), 0, "a file takes its indexes along");

    // Room for four; the first is used between all others.
    let (files, cache, q, want) = runs(12, 4 * one + table, dir.path());
    for f in &files[1..] {
        assert_eq!(collect(&q, rows(&q, f)).unwrap(), want);
        assert_eq!(collect(&q, rows(&q, &files[0])).unwrap(), want);
        assert!(cache.bytes() <= 4 * one + table, "{} of {one} each", cache.bytes());
        assert_eq!(cache.bytes(), table + files.iter().filter(|f| f.is_warm()).count() * one);
    }
    assert!(cache.evictions() >= 8, "{}", cache.evictions());
    assert_eq!([0, 11, 1].map(|i| files[i].is_warm()), [true, true, false]);
}

/// What the indexes of one file take for it alone, and what the table of series takes that all share.
fn sizes(one_file: &IndexCache) -> (usize, usize) {
    let dir = tempfile::tempdir().unwrap();
    let (files, cache, ..) = runs(2, usize::MAX, dir.path());
    files.iter().for_each(|f| f.warm().unwrap());
    let one = cache.bytes() - one_file.bytes();
    let table = one_file.bytes() - one;
    assert!(one > 0 && table > 0);
    (one, table)
}

/// A checksum may be the same by chance.
#[test]
fn tables_are_shared_only_if_they_are_the_same() {
    let (dir, fs) = (tempfile::tempdir().unwrap(), Arc::new(RealFs) as Arc<dyn Fs>);
    let table = |job: &str| {
        let path = dir.path().join(job);
        let labels = base::Labels::from_pairs([("job", job)]).unwrap();
        names::write(&*fs, &path, &[SeriesKey { tenant: Tenant::default(), labels }]).unwrap();
        names::SeriesTable::read(disk::read(&*fs, &path).unwrap().into()).unwrap()
    };
    let cache = IndexCache::new(0);
    let a = cache.share((1, 2), table("a"));
    let one = cache.bytes();
    let b = cache.share((1, 2), table("b"));
    let (again, elsewhere) = (cache.share((1, 2), table("b")), cache.share((1, 3), table("b")));
    assert!(b.are_those_of(&again) && !b.are_those_of(&a) && !b.are_those_of(&elsewhere));
    assert_eq!((cache.bytes(), b.labels(0).unwrap().get("job")), (3 * one, Some("b")));
    drop((a, b, again, elsewhere));
    assert_eq!(cache.bytes(), 0);
}

#[test]
fn what_a_scan_holds_stays_and_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (files, cache, q, want) = runs(3, 0, dir.path());
    let open: Vec<RowStream> = files.iter().map(|f| rows(&q, f)).collect();
    assert!(files.iter().all(|f| f.is_warm()) && cache.bytes() > 0 && cache.evictions() == 0);
    for stream in open {
        assert_eq!(collect(&q, stream).unwrap(), want);
    }
    cache.trim();
    assert_eq!((cache.bytes(), cache.evictions()), (0, 6));
}
