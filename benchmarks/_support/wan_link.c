/*
 * A link with a delay, a rate and a queue between two network namespaces, for kernels without netem.
 *
 *     wan_link DELAY_US RATE_BIT_S QUEUE_BYTES
 *
 * Makes two network namespaces, a TUN device in each (10.9.0.1 in the host's, 10.9.0.2 in the board's), and carries
 * packets between them: each leaves when the line is free, arrives DELAY_US later, and is dropped where more than
 * QUEUE_BYTES wait (tail drop). The kernel's own TCP runs at both ends.
 *
 * Prints "ready HOST_FD BOARD_FD" when the link is up; the namespaces can be entered as /proc/PID/fd/FD for as long as
 * this process lives, and it dies with its parent. Nothing that has a name is made, so nothing has to be cleaned up.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum {
    PACKET_BYTES = 2048,  /* above the MTU of a TUN device, 1500 */
    SLOTS = 32768,        /* packets on the way in one direction */
    BURST = 64,           /* packets taken from one side before the other is looked at */
    DEVICE_QUEUE = 10000, /* the kernel's own queue must not drop what QUEUE_BYTES would let wait */
};

struct packet {
    int64_t due_ns;
    int size;
    char bytes[PACKET_BYTES];
};

struct direction {
    struct packet *ring;
    unsigned head, tail;
    int64_t line_free_ns;
};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void device_ioctl(unsigned long request, struct ifreq *device)
{
    int control = socket(AF_INET, SOCK_DGRAM, 0);
    if (control < 0 || ioctl(control, request, device))
        fail("network device");
    close(control);
}

static void bring_up(const char *name)
{
    struct ifreq device = {0};
    strcpy(device.ifr_name, name);
    device.ifr_flags = IFF_UP | IFF_RUNNING;
    device_ioctl(SIOCSIFFLAGS, &device);
}

static void set_address(unsigned long request, const char *address)
{
    struct ifreq device = {.ifr_name = "link"};
    struct sockaddr_in *inet = (struct sockaddr_in *)&device.ifr_addr;
    inet->sin_family = AF_INET;
    inet->sin_addr.s_addr = inet_addr(address);
    device_ioctl(request, &device);
}

/* A new network namespace with a TUN device of that address; this process is in it afterwards. */
static void make_end(const char *address, int *namespace_fd, int *tun_fd)
{
    if (unshare(CLONE_NEWNET))
        fail("unshare");
    *namespace_fd = open("/proc/self/ns/net", O_RDONLY);
    *tun_fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    if (*namespace_fd < 0 || *tun_fd < 0)
        fail("/dev/net/tun");
    struct ifreq device = {.ifr_name = "link"};
    device.ifr_flags = IFF_TUN | IFF_NO_PI;
    if (ioctl(*tun_fd, TUNSETIFF, &device))
        fail("TUNSETIFF");
    set_address(SIOCSIFADDR, address);
    set_address(SIOCSIFNETMASK, "255.255.255.0");
    struct ifreq queue = {.ifr_name = "link"};
    queue.ifr_qlen = DEVICE_QUEUE;
    device_ioctl(SIOCSIFTXQLEN, &queue);
    bring_up("link");
    bring_up("lo");
}

/* Put what waits at `tun` onto the line. */
static void take(struct direction *way, int tun, int64_t delay_ns, double ns_per_byte, int64_t queue_ns)
{
    for (int taken = 0; taken < BURST; taken++) {
        struct packet *slot = &way->ring[way->tail];
        slot->size = (int)read(tun, slot->bytes, PACKET_BYTES);
        if (slot->size <= 0)
            return;
        int64_t now = now_ns();
        int64_t start = way->line_free_ns > now ? way->line_free_ns : now;
        unsigned next = (way->tail + 1) % SLOTS;
        if (start - now > queue_ns || next == way->head)
            continue; /* dropped: the slot is used for the next packet */
        way->line_free_ns = start + (int64_t)(slot->size * ns_per_byte);
        slot->due_ns = way->line_free_ns + delay_ns;
        way->tail = next;
    }
}

/* Hand over what has arrived; the time at which the next packet will, 0 for none. */
static int64_t deliver(struct direction *way, int tun)
{
    while (way->head != way->tail) {
        struct packet *slot = &way->ring[way->head];
        if (slot->due_ns > now_ns())
            return slot->due_ns;
        if (write(tun, slot->bytes, slot->size) < 0 && errno != EAGAIN && errno != ENOBUFS && errno != EIO)
            fail("write to the device"); /* the others are a packet that gets lost, as on any link */
        way->head = (way->head + 1) % SLOTS;
    }
    return 0;
}

int main(int count, char **arguments)
{
    if (count != 4) {
        fprintf(stderr, "usage: wan_link DELAY_US RATE_BIT_S QUEUE_BYTES\n");
        return 2;
    }
    int64_t delay_ns = (int64_t)(atof(arguments[1]) * 1e3);
    double ns_per_byte = 8e9 / atof(arguments[2]);
    int64_t queue_ns = (int64_t)(atof(arguments[3]) * ns_per_byte);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int namespaces[2], tuns[2];
    make_end("10.9.0.1", &namespaces[0], &tuns[0]);
    make_end("10.9.0.2", &namespaces[1], &tuns[1]);
    struct direction ways[2] = {0};
    for (int i = 0; i < 2; i++)
        if (!(ways[i].ring = calloc(SLOTS, sizeof *ways[i].ring)))
            fail("memory");
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    if (timer < 0)
        fail("timerfd");
    printf("ready %d %d\n", namespaces[0], namespaces[1]);
    fflush(stdout);

    for (;;) {
        int64_t next = 0;
        for (int i = 0; i < 2; i++) {
            int64_t due = deliver(&ways[i], tuns[1 - i]);
            if (due && (!next || due < next))
                next = due;
        }
        struct itimerspec alarm = {.it_value = {next / 1000000000, next % 1000000000}};
        timerfd_settime(timer, TFD_TIMER_ABSTIME, &alarm, NULL);
        struct pollfd ready[3] = {{tuns[0], POLLIN, 0}, {tuns[1], POLLIN, 0}, {timer, POLLIN, 0}};
        if (poll(ready, 3, -1) < 0 && errno != EINTR)
            fail("poll");
        for (int i = 0; i < 2; i++)
            if (ready[i].revents & POLLIN)
                take(&ways[i], tuns[i], delay_ns, ns_per_byte, queue_ns);
    }
}
