//! Trainings that are stopped and go on, checkpoints that are kept, runs that are killed, stores in
//! trouble: whatever happens on the way, the bytes at the end are those of an undisturbed run.

mod kills;
mod stops;
mod trouble;
