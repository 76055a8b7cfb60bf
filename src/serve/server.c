#include "serve/server.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool is_loopback(const struct sockaddr *a)
{
    const struct sockaddr_in *four = (const void *)a;
    const struct sockaddr_in6 *six = (const void *)a;
    return a->sa_family == AF_INET
               ? ntohl(four->sin_addr.s_addr) >> 24 == 127
               : a->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&six->sin6_addr);
}

/* The addresses of the host; freeaddrinfo is due. */
static struct addrinfo *find_host(const struct server_options *o, struct err *e)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    char port[16];
    snprintf(port, sizeof port, "%d", o->port);
    const int rc = getaddrinfo(o->host, port, &hints, &list);
    if (!rc)
        return list;
    err_code(e, ERR_ARGUMENT, "cannot find the address '%s': %s", o->host, gai_strerror(rc));
    err_subject(e, "host");
    return NULL;
}

int server_check(const struct server_options *o, struct err *e)
{
#ifndef HAVE_HTTP
    (void)o, (void)find_host, (void)is_loopback;
    return err_set(e, "this program was built without libmicrohttpd, which the server needs; "
                      "install libmicrohttpd-dev and build it again");
#else
    struct addrinfo *list = find_host(o, e);
    bool local = true;
    for (const struct addrinfo *a = list; a; a = a->ai_next)
        local &= is_loopback(a->ai_addr);
    if (!list)
        return -1;
    freeaddrinfo(list);
    if (!local && !o->token)
        return err_about(e, "token", "other machines reach '%s', and nothing tells who may ask",
                         o->host);
    if (o->token && strlen(o->token) < 8)
        return err_about(e, "token", "the token has %d characters, fewer than 8",
                         (int)strlen(o->token));
    return 0;
#endif
}

/* The address that the socket has, as a URL. */
static void write_url(int fd, const char *host, char *url, size_t room)
{
    struct sockaddr_storage a = {0};
    socklen_t n = sizeof a;
    getsockname(fd, (struct sockaddr *)&a, &n);
    const int port = ntohs(a.ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)&a)->sin6_port
                                                   : ((const struct sockaddr_in *)&a)->sin_port);
    const bool brackets = strchr(host, ':') != NULL;
    snprintf(url, room, "http://%s%s%s:%d", brackets ? "[" : "", host, brackets ? "]" : "", port);
}

int server_listen(const struct server_options *o, char *url, size_t room, struct err *e)
{
    struct addrinfo *list = find_host(o, e), *a = list;
    const int on = 1;
    int fd = -1;
    if (!list)
        return -1;
    for (; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
            continue;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on,
                   sizeof on); /* after a server that was killed */
        if (bind(fd, a->ai_addr, a->ai_addrlen) || listen(fd, 512)) {
            err_sys(e, "cannot listen on %s, port %d", o->host, o->port);
            err_subject(e, "port");
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    if (fd >= 0)
        write_url(fd, o->host, url, room);
    else if (!e->msg[0])
        err_sys(e, "cannot listen on %s, port %d", o->host, o->port);
    return fd;
}

#ifndef HAVE_HTTP
int server_run(const struct server_options *o, struct served *served, int n,
               const volatile sig_atomic_t *stop, void (*ready)(const char *url), struct err *e)
{
    (void)served, (void)n, (void)stop, (void)ready;
    return server_check(o, e);
}
#endif
