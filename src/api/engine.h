/* The library's engine, as its parts see it. */
#ifndef API_ENGINE_H
#define API_ENGINE_H

#include "api/api.h"
#include "run/setup.h"

struct unlearn_engine {
    struct api_options options; /* owned; `o` borrows its texts */
    struct setup_options o;
    struct setup s;
    bool open; /* s is to be closed */
};

/* api_begin, with the engine's number of threads, which OpenMP keeps for each thread that calls. */
void engine_begin(struct api_call *c, const struct unlearn_engine *g,
                  const struct unlearn_hooks *h);

#endif
