//! The outputs of one input, written without their names yet.

use std::path::PathBuf;

use serde_json::Value;

use super::Outcome;
use super::input::{Input, digest_of};
use super::job::Job;
use super::place::To;
use crate::build_id::BuildId;
use crate::cli::failure::Failure;
use crate::cli::ui::Ui;
use crate::digest::Digest;
use crate::fs::{self, Mode};
use crate::inspect;
use crate::release::{Staged, companion};

impl Input<'_> {
    /// Writes the outputs. What the slim file cannot have of the input's attributes becomes a warning.
    pub(super) fn stage_all(
        &mut self,
        job: &Job,
        staged: &mut Staged,
        ui: Ui,
    ) -> Result<(), Failure> {
        self.stage_release(job, staged)?;
        let mode = self.debug_mode(job);
        if let Some(debug) = self.new_debug() {
            staged.write(&self.debug_path, mode, |mut out| debug.write_to(&mut out))?;
        }
        if let Some(dwp) = self.dwp.as_ref().filter(|dwp| !dwp.is_there) {
            staged.write(&dwp.path, mode, |out| dwp.write_to(out))?;
        }
        let slim = &self.split.slim;
        let refused = self.delivery(job).deliver(staged, ui, |mut out| slim.write_to(&mut out))?;
        self.warnings.extend(refused);
        if let Some([debug_path, program_path]) = self.in_tree(job) {
            if let Some(debug) = self.new_debug() {
                staged.write(&debug_path, mode, |mut out| debug.write_to(&mut out))?;
            } else if self.kept_debug {
                let bytes = fs::read(&self.debug_path)?;
                staged.write(&debug_path, mode, |out| out.write_all(&bytes))?;
            }
            if let Some(dwp) = &self.dwp {
                for path in dwp.in_tree(&program_path) {
                    staged.write(&path, mode, |out| dwp.write_to(out))?;
                }
            }
            let slim = &self.split.slim;
            staged.write(&program_path, Mode::Executable, |mut out| slim.write_to(&mut out))?;
        }
        Ok(())
    }

    /// Notes what was made for an older binary of this name, where this is another.
    fn stage_release(&self, job: &Job, staged: &mut Staged) -> Result<(), Failure> {
        let To::Release { root, .. } = &job.place.to else { return Ok(()) };
        let Some(slim_path) = &self.slim_path else { return Ok(()) };
        let slim = &self.split.slim;
        let is_there = || fs::digest(slim_path).is_ok_and(|(digest, _)| digest == digest_of(slim));
        if !is_there()
            && let (Some(platform), Some(name)) = (&self.platform, slim_path.file_name())
        {
            let name = name.to_string_lossy();
            staged.remove_companions(root, &platform.directory(), &name)?;
        }
        if self.new_debug().is_none() && !self.kept_debug {
            staged.remove(self.debug_path.clone());
        }
        if self.dwp.is_none()
            && !self.kept_debug
            && let Some(name) = slim_path.file_name()
        {
            let dwp = companion::dwp(&name.to_string_lossy());
            staged.remove(slim_path.with_file_name(dwp));
        }
        Ok(())
    }
}

impl Outcome for Input<'_> {
    fn files(&self) -> Vec<PathBuf> {
        let debug_path = self.new_debug().map(|_| self.debug_path.clone());
        let dwp_path = self.dwp.as_ref().map(|dwp| dwp.path.clone());
        self.slim_path.iter().cloned().chain(debug_path).chain(dwp_path).collect()
    }

    fn in_tree(&self, job: &Job) -> Option<[PathBuf; 2]> {
        Input::in_tree(self, job)
    }

    fn program(&self) -> Option<(BuildId, Digest)> {
        Some((self.build_id.clone()?, inspect::load_digest(&self.elf)))
    }

    fn stage(&mut self, job: &Job, staged: &mut Staged, ui: Ui) -> Result<(), Failure> {
        self.stage_all(job, staged, ui)
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn text(&self, job: &Job) -> String {
        self.text_of(job)
    }

    fn receipt(&self, job: &Job) -> Value {
        self.receipt_of(job)
    }
}
