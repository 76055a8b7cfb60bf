/* Sizes of blocks, chunks, buffers and tables that no result depends on. `make config=debug` builds
 * with -DUNLEARN_TINY and takes the second, of a few elements, so that the small data of the tests
 * cross every edge: a block that ends in the middle of a row, a table that grows, a piece of one
 * byte. Limits that a user can see (length of a name, nesting depth of a file) are not chosen here.
 */
#ifndef BASE_SIZES_H
#define BASE_SIZES_H

#ifdef UNLEARN_TINY
#define SIZE(usual, tiny) (tiny)
#else
#define SIZE(usual, tiny) (usual)
#endif

#endif
