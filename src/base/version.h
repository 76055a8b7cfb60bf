/* The version, as the program prints it and run records keep it. */
#ifndef BASE_VERSION_H
#define BASE_VERSION_H

#define UNLEARN_VERSION "0.1.0"

#endif
