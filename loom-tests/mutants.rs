// Bugs in the runtime's own source, each with the model that has to notice it. `build.rs` plants all of them
// into its copy, where `PLANTED` becomes a question that is true for one at a time.

/// A planted bug.
pub struct Mutant {
    /// Its name.
    pub name: &'static str,
    /// The model that fails with it.
    pub model: &'static str,
    /// How it is planted.
    pub edits: &'static [Edit],
}

/// A replacement of text that is in a file once.
pub struct Edit {
    /// Below `runtime/src`.
    pub file: &'static str,
    /// What is there.
    pub from: &'static str,
    /// What takes its place.
    pub to: &'static str,
}

/// All of them.
pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "the-driver-registers-after-the-look",
        model: "question_against_park",
        edits: &[
            Edit {
                file: "mailbox.rs",
                from: "_stale = inner.driver.replace(cx.waker().clone());",
                to: "_stale = if PLANTED { None } else { inner.driver.replace(cx.waker().clone()) };",
            },
            Edit {
                file: "mailbox.rs",
                from: r"let writers = mem::take(&mut inner.writers);
        drop(inner);
        for",
                to: r"let writers = mem::take(&mut inner.writers);
        drop(inner);
        if PLANTED {
            lock(&self.0.inner).driver = Some(cx.waker().clone());
        }
        for",
            },
        ],
    },
    Mutant {
        name: "one-writer-is-woken",
        model: "two_writers_without_room",
        edits: &[
            Edit {
                file: "mailbox.rs",
                from: "let handles = inner.handles > 0;",
                to: r"let handles = inner.handles > 0;
        if PLANTED {
            inner.writers.truncate(1);
        }",
            },
        ],
    },
    Mutant {
        name: "the-last-handle-goes-silently",
        model: "last_handle_against_turn",
        edits: &[
            Edit {
                file: "mailbox.rs",
                from: "if inner.handles == 0 {",
                to: "if inner.handles == 0 && !PLANTED {",
            },
        ],
    },
    Mutant {
        name: "handles-are-counted-before-the-driver-registers",
        model: "last_handle_against_turn",
        edits: &[
            Edit {
                file: "mailbox.rs",
                from: r"let mut inner = lock(&self.0.inner);
        _stale",
                to: r"let early = lock(&self.0.inner).handles > 0;
        let mut inner = lock(&self.0.inner);
        _stale",
            },
            Edit {
                file: "mailbox.rs",
                from: "let handles = inner.handles > 0;",
                to: "let handles = if PLANTED { early } else { inner.handles > 0 };",
            },
        ],
    },
    Mutant {
        name: "closed-after-the-queue-was-dropped",
        model: "question_against_end",
        edits: &[
            Edit {
                file: "mailbox.rs",
                from: "inner.closed = true;",
                to: "inner.closed = !PLANTED;",
            },
            Edit {
                file: "mailbox.rs",
                from: "drop((driver, queue));",
                to: r"drop((driver, queue));
        if PLANTED {
            lock(&self.0.inner).closed = true;
        }",
            },
        ],
    },
    Mutant {
        name: "an-ended-shard-takes-what-it-is-sent",
        model: "link_against_end",
        edits: &[
            Edit {
                file: "mailbox.rs",
                from: r"if inner.closed {
            return;
        }",
                to: r"if inner.closed && !PLANTED {
            return;
        }",
            },
        ],
    },
    Mutant {
        name: "an-ended-shard-has-room-for-datagrams",
        model: "datagrams_against_end",
        edits: &[
            Edit {
                file: "mailbox.rs",
                from: r"if inner.closed {
            return Err(Refused::Closed);
        }",
                to: r"if inner.closed && !PLANTED {
            return Err(Refused::Closed);
        }",
            },
        ],
    },
    Mutant {
        name: "a-shard-keeps-another-running",
        model: "link_against_end",
        edits: &[
            Edit {
                file: "mailbox.rs",
                from: "ToPeer(self.mailbox.clone())",
                to: r"if PLANTED {
            lock(&self.mailbox.inner).handles += 1;
        }
        ToPeer(self.mailbox.clone())",
            },
        ],
    },
    Mutant {
        name: "datagrams-wake-nobody",
        model: "datagrams_against_end",
        edits: &[
            Edit {
                file: "mailbox.rs",
                from: r"self.push(&mut inner, bytes, &mut message)?;
        drop(inner);
        wake(driver);",
                to: r"self.push(&mut inner, bytes, &mut message)?;
        drop(inner);
        wake(driver.filter(|_| !PLANTED));",
            },
        ],
    },
    Mutant {
        name: "a-link-wakes-nobody",
        model: "announcement_over_link",
        edits: &[
            Edit {
                file: "mailbox.rs",
                from: "self.0.force(message);",
                to: r"if PLANTED {
            lock(&self.0.inner).queue.push_back(message);
        } else {
            self.0.force(message);
        }",
            },
        ],
    },
    Mutant {
        name: "a-shard-ends-alone",
        model: "shard_against_failure",
        edits: &[
            Edit {
                file: "driver/shards.rs",
                from: "if !mem::replace(&mut self.told, true) {",
                to: "if !mem::replace(&mut self.told, true) && !PLANTED {",
            },
        ],
    },
    Mutant {
        name: "the-driver-is-woken-under-the-lock",
        model: "wakers_that_use_the_mailbox",
        edits: &[
            Edit {
                file: "mailbox.rs",
                from: r"inner.queue.push_back(message);
        let driver = inner.driver.take();",
                to: r"inner.queue.push_back(message);
        let mut driver = inner.driver.take();
        if PLANTED {
            wake(driver.take());
        }",
            },
        ],
    },
    Mutant {
        name: "a-waker-of-a-writer-dies-under-the-lock",
        model: "wakers_that_use_the_mailbox",
        edits: &[
            Edit {
                file: "mailbox.rs",
                from: r"_stale = inner.forget(self.key);
        let result",
                to: r"_stale = inner.forget(self.key).filter(|_| !PLANTED);
        let result",
            },
        ],
    },
    Mutant {
        name: "a-waker-dies-under-the-lock-of-a-slot",
        model: "wakers_that_use_the_slot",
        edits: &[
            Edit {
                file: "slot.rs",
                from: "_stale = inner.waker.replace(waker.clone());",
                to: "_stale = inner.waker.replace(waker.clone()).filter(|_| !PLANTED);",
            },
        ],
    },
    Mutant {
        name: "a-handle-is-woken-under-the-lock",
        model: "wakers_that_use_the_slot",
        edits: &[
            Edit {
                file: "slot.rs",
                from: "let waker = inner.waker.take();",
                to: r"let mut waker = inner.waker.take();
        if let Some(waker) = waker.take_if(|_| PLANTED) {
            waker.wake();
        }",
            },
        ],
    },
    Mutant {
        name: "the-handle-registers-after-the-look",
        model: "update_against_poll",
        edits: &[
            Edit {
                file: "slot.rs",
                from: "        if let Some(waker) = waker.filter(",
                to: r"        if result.is_pending() && PLANTED {
            drop(inner);
            inner = lock(&self.0);
        }
        if let Some(waker) = waker.filter(",
            },
        ],
    },
    Mutant {
        name: "woken-before-the-end-is-told",
        model: "end_against_poll",
        edits: &[
            Edit {
                file: "slot.rs",
                from: "self.change(|inner| inner.gone = true);",
                to: r"if PLANTED {
            self.change(|_| ());
            lock(&self.0).gone = true;
        } else {
            self.change(|inner| inner.gone = true);
        }",
            },
        ],
    },
    Mutant {
        name: "the-first-waker-is-kept",
        model: "task_that_moves",
        edits: &[
            Edit {
                file: "slot.rs",
                from: "inner.waker.replace(waker.clone())",
                to: "(if PLANTED && inner.waker.is_some() { None } else { inner.waker.replace(waker.clone()) })",
            },
        ],
    },
    Mutant {
        name: "who-only-tries-takes-the-place-of-who-waits",
        model: "try_while_waiting",
        edits: &[
            Edit {
                file: "slot.rs",
                from: "waker.filter(|_| result.is_pending())",
                to: "waker.or(PLANTED.then_some(Waker::noop())).filter(|_| result.is_pending())",
            },
        ],
    },
    Mutant {
        name: "demand-is-told-to-nobody",
        model: "demand",
        edits: &[
            Edit {
                file: "driver/writers.rs",
                from: "track.far.update(|state| state.wanted = wanted);",
                to: r"if PLANTED {
                track.far.with(|state| state.wanted = wanted);
            } else {
                track.far.update(|state| state.wanted = wanted);
            }",
            },
        ],
    },
    Mutant {
        name: "a-full-inbox-asks-for-nothing",
        model: "read_ahead",
        edits: &[
            Edit {
                file: "state.rs",
                from: "self.asked = !full;",
                to: "self.asked = !full || PLANTED;",
            },
        ],
    },
    Mutant {
        name: "one-group-is-enough",
        model: "groups_to_the_end",
        edits: &[
            Edit {
                file: "driver/readers.rs",
                from: r"state.end = end;
            state.asked = asked;",
                to: r"state.end = end;
            state.asked = asked || PLANTED;",
            },
        ],
    },
    Mutant {
        name: "drained-is-told-to-nobody",
        model: "write_and_wait",
        edits: &[
            Edit {
                file: "driver/writers.rs",
                from: "Ok(true) => track",
                to: r"Ok(true) if PLANTED => track.far.with(|state| state.drained = ticket),
                Ok(true) => track",
            },
        ],
    },
    Mutant {
        name: "a-watcher-without-news-is-forgotten",
        model: "announcements_of_others",
        edits: &[
            Edit {
                file: "driver/readers.rs",
                from: "if news.is_empty() && room > 0 && end.is_none() {",
                to: r"if news.is_empty() && room > 0 && end.is_none() {
            if PLANTED {
                self.appetite = Appetite::Fed;
            }",
            },
        ],
    },
    Mutant {
        name: "a-shutdown-waits-for-the-handles",
        model: "shutdown_against_question",
        edits: &[
            Edit {
                file: "driver/mod.rs",
                from: "Flush::Idle if self.closing && self.endpoint.is_idle() =>",
                to: "Flush::Idle if self.closing && self.endpoint.is_idle() && !(handles && PLANTED) =>",
            },
        ],
    },
];
