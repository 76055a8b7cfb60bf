/* A mapped file that became shorter, or whose disk fails, raises SIGBUS where it is read. From here
 * on that is a message which names the file, and status 1.
 */
#ifndef CLI_LOST_FILE_H
#define CLI_LOST_FILE_H

void lost_file_catch(void);

#endif
