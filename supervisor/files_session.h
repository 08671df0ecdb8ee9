/*
 * The ops on files of a workload, for one link: each is done by a child with few rights, so that a slow or hostile
 * tree blocks nobody.
 */
#pragma once
#include "loop.h"
#include "session.h"

enum files_op { FILES_STAT, FILES_READ, FILES_WRITE };

/*
 * Answers `link`: stat with the facts, the archives with a session. `root` is the folder that the child takes for its
 * root; the caller may close it afterwards. `done` (may be NULL) is called when neither child nor session is left.
 */
void files_session(struct loop *loop, struct link *link, int root, const char *path, enum files_op op,
                   void (*done)(void *context), void *context);
