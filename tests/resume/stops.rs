//! Trainings in this process, stopped at a step.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use candle_core::{DType, Device};
use tureen::adapter::formats::own;
use tureen::adapter::{Adapter, Bottleneck, Kind, Lora};
use tureen::context::Progress;
use tureen::data::{Dataset, bundled};
use tureen::model::{LinearSite, Model};
use tureen::prune::{Inputs, Plan, Scope, criterion, prune};
use tureen::study::{Content, Store};
use tureen::train::{Gradual, GradualBy, Keep, TrainOptions, train};
use tureen::{Context, Error, Kind as ErrorKind};

/// Raises the stop flag once so many steps are done, and keeps what is told.
struct Stopper {
    at: AtomicU64,
    stop: Arc<AtomicBool>,
    told: Mutex<Vec<String>>,
}

impl Progress for Stopper {
    fn start(&self, _: &str, _: u64, _: &str) {}
    fn update(&self, done: u64, _: &str) {
        if done >= self.at.load(Ordering::Relaxed) {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
    fn finish(&self) {}
    fn notice(&self, line: &str) {
        self.told.lock().unwrap().push(line.to_string());
    }
}

/// What a training that may be stopped came to, and what it told.
struct Tried {
    adapter: Result<Adapter, Error>,
    told: Vec<String>,
}

impl Tried {
    fn told(&self, what: &str) -> bool {
        self.told.iter().any(|line| line.contains(what))
    }
}

struct Bench {
    model: Model,
    data: Dataset,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self {
            model: Model::mini(DType::F32, &Device::Cpu).unwrap(),
            data: bundled::load("news").unwrap().sample(30, 1, None).unwrap(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn store(&self) -> Store {
        Store::open(self.folder.path())
    }

    fn states(&self) -> usize {
        let entries = self.store().entries().unwrap();
        let states = entries.iter().filter(|e| e.content == Content::State);
        states.count()
    }

    /// Trains with the store and stops once `at` steps are done.
    fn until(&self, options: &TrainOptions, at: u64) -> Tried {
        self.with(options, at, true)
    }

    fn with(&self, options: &TrainOptions, at: u64, store: bool) -> Tried {
        let stop = Arc::new(AtomicBool::new(false));
        let stopper = Arc::new(Stopper {
            at: at.into(),
            stop: stop.clone(),
            told: Mutex::default(),
        });
        let mut context = Context::new(stop, stopper.clone());
        if store {
            context = context.with_store(self.store());
        }
        Tried {
            adapter: train(&self.model, &self.data, options, &context),
            told: stopper.told.lock().unwrap().clone(),
        }
    }

    fn undisturbed(&self, options: &TrainOptions) -> Adapter {
        self.with(options, u64::MAX, false).adapter.unwrap()
    }
}

/// 21 rows: three steps an epoch.
fn options(kind: Arc<dyn Kind>) -> TrainOptions {
    TrainOptions {
        epochs: 4,
        batch: 8,
        state_after: Duration::ZERO,
        ..TrainOptions::new(kind, 3)
    }
}

fn pfeiffer() -> TrainOptions {
    options(Arc::new(Bottleneck::pfeiffer()))
}

fn lora() -> Arc<dyn Kind> {
    Arc::new(Lora::new(4, 8.0, vec![LinearSite::Query, LinearSite::Value]).unwrap())
}

/// Everything of an adapter and its checkpoints, to the bit.
fn bytes(adapter: &Adapter) -> Vec<(String, Vec<u8>)> {
    let checkpoints = adapter.training().unwrap().checkpoints.iter();
    [adapter]
        .into_iter()
        .chain(checkpoints)
        .map(|a| (format!("{} {}", a.name(), a.id()), own::encode(a).unwrap()))
        .collect()
}

/// Stopped again and again, a training ends as it does undisturbed.
fn same_after_stops(bench: &Bench, name: &str, options: &TrainOptions, stops: &[u64]) {
    let expected = bench.undisturbed(options);
    for &at in stops {
        let tried = bench.until(options, at);
        let error = tried.adapter.expect_err(name);
        assert_eq!(error.kind(), ErrorKind::Interrupted, "{name}: {error}");
    }
    assert_eq!(bench.states(), 1, "{name}");
    let tried = bench.until(options, u64::MAX);
    assert!(
        tried.told("goes on after epoch"),
        "{name}: {:?}",
        tried.told
    );
    let adapter = tried.adapter.unwrap();
    assert!(bytes(&adapter) == bytes(&expected), "{name}");
    assert_eq!(adapter.mask(), expected.mask(), "{name}");
    // Nothing of the way is left, and what is taken from the store is no less.
    assert_eq!(bench.states(), 0, "{name}");
    let again = bench.until(options, 0).adapter.unwrap();
    assert!(bytes(&again) == bytes(&expected), "{name}");
}

#[test]
fn a_stopped_training_ends_with_the_same_bits() {
    let bench = Bench::new();
    let gradual = |by, scope| Gradual {
        sparsity: 0.6,
        by,
        scope,
        start: 0.1,
        end: 0.7,
    };
    let start = bench.undisturbed(&TrainOptions {
        epochs: 1,
        ..options(lora())
    });
    let tensors = start.tensors().unwrap();
    let half = prune(
        &tensors,
        criterion("magnitude").unwrap(),
        &Inputs::default(),
        &Plan::of(0.5),
        &Context::silent(),
    );
    let half = half.unwrap();
    let mut parts = start.parts().clone();
    parts.mask = Some(Arc::new(half.clone()));
    let pruned = Adapter::new(parts, half.apply(&tensors).unwrap()).unwrap();
    let cases = [
        ("plain", pfeiffer()),
        (
            "from a pruned one",
            TrainOptions {
                from: Some(pruned),
                ..options(lora())
            },
        ),
        (
            "by movement",
            TrainOptions {
                gradual: Some(gradual(GradualBy::Movement, Scope::Global)),
                ..pfeiffer()
            },
        ),
        (
            "by magnitude, with checkpoints",
            TrainOptions {
                gradual: Some(gradual(GradualBy::Magnitude, Scope::Layerwise)),
                keep: Keep::Steps(2),
                ..pfeiffer()
            },
        ),
        (
            "with checkpoints",
            TrainOptions {
                keep: Keep::Epochs,
                ..options(lora())
            },
        ),
    ];
    for (name, options) in &cases {
        same_after_stops(&bench, name, options, &[4, 5, 8, 11]);
    }
}

#[test]
fn a_stopped_training_loses_patience_when_it_would_have() {
    let bench = Bench::new();
    let options = TrainOptions {
        epochs: 10,
        patience: Some(2),
        lr: 0.02,
        ..pfeiffer()
    };
    let ended = |a: &Adapter| a.training().unwrap().epochs.len();
    let expected = bench.undisturbed(&options);
    assert!(ended(&expected) < 10, "{}", ended(&expected));
    same_after_stops(&bench, "patience", &options, &[4, 8]);
}

#[test]
fn without_a_store_nothing_is_kept_and_nothing_used() {
    let bench = Bench::new();
    let options = pfeiffer();
    assert!(bench.with(&options, 7, false).adapter.is_err());
    assert_eq!(bench.store().entries().unwrap(), []);
    assert!(bench.until(&options, 7).adapter.is_err());
    let tried = bench.with(&options, u64::MAX, false);
    assert!(!tried.told("goes on"), "{:?}", tried.told);
    assert_eq!(bench.states(), 1);
}

#[test]
fn short_trainings_keep_nothing_on_the_way() {
    let bench = Bench::new();
    let options = TrainOptions {
        state_after: Duration::from_secs(3600),
        ..pfeiffer()
    };
    assert!(bench.until(&options, 7).adapter.is_err());
    assert_eq!(bench.states(), 0);
}

#[test]
fn a_state_that_is_of_no_use_is_told_and_the_training_begins_anew() {
    let bench = Bench::new();
    let (options, others) = (pfeiffer(), options(lora()));
    let expected = bytes(&bench.undisturbed(&options));
    let interrupted = || assert!(bench.until(&options, 7).adapter.is_err());
    let state = || {
        let entries = bench.store().entries().unwrap();
        entries.into_iter().find(|e| e.content == Content::State)
    };
    let anew = |what: &str| {
        let tried = bench.until(&options, u64::MAX);
        assert!(tried.told(what), "{:?}", tried.told);
        let adapter = tried.adapter.unwrap();
        assert!(bytes(&adapter) == expected);
        bench.store().remove(adapter.id(), Content::Result).unwrap();
    };

    interrupted();
    let id = state().unwrap().id;
    let (head, tail) = id.as_str().split_at(2);
    let path = bench.folder.path().join(head).join(format!("{tail}.state"));
    let mut damaged = std::fs::read(&path).unwrap();
    *damaged.last_mut().unwrap() ^= 1;
    std::fs::write(&path, damaged).unwrap();
    anew("does not match its hash: it is computed anew");

    // What another version may have written.
    bench.store().put_state(&id, b"not a state").unwrap();
    anew("cannot be used");
    assert_eq!(state(), None);

    // That of a training of other tensors.
    assert!(bench.until(&others, 7).adapter.is_err());
    let theirs = bench.store().state(&state().unwrap().id).unwrap().unwrap();
    bench.store().put_state(&id, &theirs).unwrap();
    anew("it does not have what belongs to");
}

#[test]
fn checkpoints_are_the_training_at_their_steps() {
    let bench = Bench::new();
    let plain = pfeiffer();
    let kept = |keep| TrainOptions {
        keep,
        ..plain.clone()
    };
    let without = bench.until(&plain, u64::MAX).adapter.unwrap();
    assert_eq!(without.training().unwrap().checkpoints.len(), 0);
    // Trained before without checkpoints: trained once more for them, to the same bits.
    let tried = bench.until(&kept(Keep::Epochs), u64::MAX);
    assert!(!tried.told("trained before"), "{:?}", tried.told);
    let with = tried.adapter.unwrap();
    assert_eq!(with.id(), without.id());
    assert!(own::encode(&with).unwrap() == own::encode(&without).unwrap());
    let training = with.training().unwrap();
    let steps: Vec<_> = training
        .checkpoints
        .iter()
        .map(|c| c.training().unwrap().step)
        .collect();
    assert_eq!(steps, [4, 8, 12, 16].map(Some));
    // The kept epoch is the checkpoint of that epoch.
    let best = &training.checkpoints[training.best_epoch - 1];
    let values = |a: &Adapter| tureen::adapter::content(&a.tensors().unwrap());
    assert!(values(best) == values(&with));
    let own = |i: usize| training.checkpoints[i].training().unwrap().epochs.len();
    assert_eq!([own(0), own(3)], [1, 4]);

    // One training's checkpoints of several kinds are the same ones.
    let by_steps = bench.until(&kept(Keep::Steps(4)), u64::MAX);
    let by_steps = by_steps.adapter.unwrap();
    assert!(bytes(&by_steps) == bytes(&with));
    assert!(bench.until(&kept(Keep::Epochs), 0).told("trained before"));

    // One is lost: they are made again.
    let lost = training.checkpoints[1].id();
    bench.store().remove(lost, Content::Result).unwrap();
    let again = bench.until(&kept(Keep::Epochs), u64::MAX);
    assert!(!again.told("trained before"));
    assert!(bytes(&again.adapter.unwrap()) == bytes(&with));

    // Begun without them, it cannot go on with them.
    bench.store().remove(with.id(), Content::Result).unwrap();
    bench.store().remove(lost, Content::Result).unwrap();
    assert!(bench.until(&plain, 9).adapter.is_err());
    let anew = bench.until(&kept(Keep::Epochs), u64::MAX);
    assert!(anew.told("it has other checkpoints"), "{:?}", anew.told);
    assert!(bytes(&anew.adapter.unwrap()) == bytes(&with));
}
