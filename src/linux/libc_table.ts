/** The functions of libc that are called, with the types of its headers. A wrong line here crashes the process. */

// Counts are declared i32/u32 although C has ssize_t/size_t: Deno returns 64-bit results as bigint, which
// costs an allocation, and no count here comes near 2^31.

/** Those that concern sockets, pipes and epoll. */
export const LIBC = {
  __errno_location: { parameters: [], result: "pointer" },
  accept4: { parameters: ["i32", "buffer", "buffer", "i32"], result: "i32" }, // int, sockaddr*, socklen_t*, int flags
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" }, // int, const sockaddr*, socklen_t
  close: { parameters: ["i32"], result: "i32" }, // int
  connect: { parameters: ["i32", "buffer", "u32"], result: "i32" }, // int, const sockaddr*, socklen_t
  epoll_create1: { parameters: ["i32"], result: "i32" }, // int flags
  epoll_ctl: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" }, // int, int op, int fd, epoll_event*
  epoll_wait: { parameters: ["i32", "buffer", "i32", "i32"], result: "i32" }, // int, epoll_event*, int max, int ms
  eventfd: { parameters: ["u32", "i32"], result: "i32" }, // unsigned initial, int flags
  fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" }, // int, int command, int argument
  getpeername: { parameters: ["i32", "buffer", "buffer"], result: "i32" }, // int, sockaddr*, socklen_t*
  getsockname: { parameters: ["i32", "buffer", "buffer"], result: "i32" }, // int, sockaddr*, socklen_t*
  getsockopt: { parameters: ["i32", "i32", "i32", "buffer", "buffer"], result: "i32" }, // int, level, name, void*, socklen_t*
  if_nametoindex: { parameters: ["buffer"], result: "u32" }, // const char*
  ioctl: { parameters: ["i32", "u32", "buffer"], result: "i32" }, // int, unsigned long request, int*
  listen: { parameters: ["i32", "i32"], result: "i32" }, // int, int backlog
  poll: { parameters: ["buffer", "u32", "i32"], result: "i32", nonblocking: true }, // pollfd*, nfds_t, int ms
  pipe2: { parameters: ["buffer", "i32"], result: "i32" }, // int[2], int flags
  read: { parameters: ["i32", "buffer", "u32"], result: "i32" }, // int, void*, size_t
  recv: { parameters: ["i32", "buffer", "u32", "i32"], result: "i32" }, // int, void*, size_t, int flags
  send: { parameters: ["i32", "buffer", "u32", "i32"], result: "i32" }, // int, const void*, size_t, int flags
  setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" }, // int, level, name, const void*, socklen_t
  shutdown: { parameters: ["i32", "i32"], result: "i32" }, // int, int how
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" }, // int domain, int type, int protocol
  splice: { parameters: ["i32", "pointer", "i32", "pointer", "u32", "u32"], result: "i32" }, // int, off64_t*, int, off64_t*, size_t, unsigned flags
  write: { parameters: ["i32", "buffer", "u32"], result: "i32" }, // int, const void*, size_t
} as const;

/** Those that concern the process and its threads, not sockets. */
export const LIBC_OF_PROCESS = {
  clock_gettime: { parameters: ["i32", "buffer"], result: "i32" }, // clockid_t, struct timespec*
  close: { parameters: ["i32"], result: "i32" }, // int
  fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" }, // int, int command, int argument
  getsockopt: { parameters: ["i32", "i32", "i32", "buffer", "buffer"], result: "i32" }, // int, level, name, void*, socklen_t*
  getrlimit: { parameters: ["i32", "buffer"], result: "i32" }, // int resource, struct rlimit*
  madvise: { parameters: ["pointer", "u64", "i32"], result: "i32" }, // void*, size_t, int advice
  malloc_trim: { parameters: ["u64"], result: "i32" }, // size_t pad
  open: { parameters: ["buffer", "i32"], result: "i32" }, // const char*, int flags
  read: { parameters: ["i32", "buffer", "u32"], result: "i32" }, // int, void*, size_t
  readlink: { parameters: ["buffer", "buffer", "u32"], result: "i32" }, // const char*, char*, size_t
  sched_getaffinity: { parameters: ["i32", "u32", "buffer"], result: "i32" }, // pid_t, size_t, cpu_set_t*
  setrlimit: { parameters: ["i32", "buffer"], result: "i32" }, // int resource, const struct rlimit*
  syscall: { parameters: ["i64"], result: "i64" }, // long number
} as const;

/** Those for messages with descriptors. */
export const LIBC_OF_MESSAGES = {
  __errno_location: { parameters: [], result: "pointer" },
  accept4: { parameters: ["i32", "pointer", "pointer", "i32"], result: "i32" }, // int, sockaddr*, socklen_t*, int flags
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" }, // int, const sockaddr*, socklen_t
  close: { parameters: ["i32"], result: "i32" }, // int
  connect: { parameters: ["i32", "buffer", "u32"], result: "i32" }, // int, const sockaddr*, socklen_t
  listen: { parameters: ["i32", "i32"], result: "i32" }, // int, int backlog
  poll: { parameters: ["buffer", "u32", "i32"], result: "i32", nonblocking: true }, // pollfd*, nfds_t, int ms
  recvmsg: { parameters: ["i32", "buffer", "i32"], result: "i32" }, // int, struct msghdr*, int flags
  sendmsg: { parameters: ["i32", "buffer", "i32"], result: "i32" }, // int, const struct msghdr*, int flags
  shutdown: { parameters: ["i32", "i32"], result: "i32" }, // int, int how
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" }, // int domain, int type, int protocol
  socketpair: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" }, // int domain, int type, int protocol, int[2]
} as const;
