// What both programs share: options, addresses, numbers over a socket, the way to the workers.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

typedef std::map<std::string, std::vector<std::string> > Options;

// What a root sends before each step, and at its end.
static const unsigned STOP = 0, STEP = 1;

static Options options_of(int argc, char **argv, int first) {
    Options options;
    std::string name;
    for (int k = first; k < argc; k++) {
        if (!std::strncmp(argv[k], "--", 2))
            name = argv[k];
        else
            options[name].push_back(argv[k]);
    }
    return options;
}

static sockaddr_in address_of(const std::string &host, const std::string &port) {
    sockaddr_in address;
    std::memset(&address, 0, sizeof(address));
    address.sin_family = AF_INET;
    address.sin_port = htons(std::atoi(port.c_str()));
    inet_pton(AF_INET, host.c_str(), &address.sin_addr);
    return address;
}

// A socket that listens; -1 if the port is taken.
static int listener_at(const std::string &host, const std::string &port) {
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    sockaddr_in address = address_of(host, port);
    if (bind(listener, (sockaddr *)&address, sizeof(address)) || listen(listener, 4))
        return -1;
    return listener;
}

static void close_all(std::vector<int> &peers) {
    for (unsigned k = 0; k < peers.size(); k++)
        close(peers[k]);
    peers.clear();
}

// Connects to all workers; false at the first that is not there.
static bool connect_workers(const std::vector<std::string> &workers, std::vector<int> &peers) {
    for (unsigned k = 0; k < workers.size(); k++) {
        const size_t colon = workers[k].rfind(':');
        sockaddr_in address = address_of(workers[k].substr(0, colon), workers[k].substr(colon + 1));
        int peer = socket(AF_INET, SOCK_STREAM, 0);
        peers.push_back(peer);
        std::printf("⭕ Socket[%u]: connecting to %s worker\n", k, workers[k].c_str());
        if (connect(peer, (sockaddr *)&address, sizeof(address))) {
            std::printf("Cannot connect to %s (%s)\n", workers[k].c_str(), std::strerror(errno));
            return false;
        }
        unsigned greeting[2] = {(unsigned)workers.size() - 1, k};
        send(peer, greeting, sizeof(greeting), MSG_NOSIGNAL);
        std::printf("⭕ Socket[%u]: connected\n", k);
    }
    if (!workers.empty())
        std::printf("⭕ Network is initialized\n");
    return true;
}

// Tells all workers to go on or to stop; false if one of them is gone.
static bool tell_workers(const std::vector<int> &peers, unsigned what) {
    for (unsigned k = 0; k < peers.size(); k++) {
        char said;
        if (recv(peers[k], &said, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN)
            return false;
        if (send(peers[k], &what, sizeof(what), MSG_NOSIGNAL) != (ssize_t)sizeof(what))
            return false;
    }
    return true;
}
