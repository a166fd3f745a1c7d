// As much of dllama 8d624a7 as shows what its callers do to it: the same words, the same exit
// status, the same death of a worker that anything but a root connects to. It computes nothing.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

typedef std::map<std::string, std::vector<std::string> > Options;

static int die(const char *why) {
    std::printf("🚨 Critical error: %s\n", why);
    return 1;
}

static sockaddr_in address_of(const std::string &host, const std::string &port) {
    sockaddr_in address;
    std::memset(&address, 0, sizeof(address));
    address.sin_family = AF_INET;
    address.sin_port = htons(std::atoi(port.c_str()));
    inet_pton(AF_INET, host.c_str(), &address.sin_addr);
    return address;
}

static bool receive(int peer, unsigned *value) {
    return recv(peer, value, sizeof(*value), MSG_WAITALL) == (ssize_t)sizeof(*value);
}

static int worker(Options &options) {
    const std::string host = options["--host"].at(0), port = options["--port"].at(0);
    for (;;) {
        int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        sockaddr_in address = address_of(host, port);
        if (bind(listener, (sockaddr *)&address, sizeof(address)) || listen(listener, 4))
            return die("Cannot bind port: Address already in use");
        std::printf("Listening on %s:%s...\n", host.c_str(), port.c_str());
        int root = accept(listener, nullptr, nullptr);
        close(listener);
        std::printf("⭕ The root node has connected\n");
        unsigned others, index;
        if (!receive(root, &others))
            return die("Socket closed");
        std::printf("⭕ nNodes: %u\n", others);
        if (!receive(root, &index))
            return die("Socket closed");
        std::printf("⭕ NodeIndex: %u\n⭕ Socket[0]: accepted root node\n", index);
        std::printf("⭕ Network is initialized\n💿 Weights loaded\n");
        unsigned ignored;
        while (receive(root, &ignored)) {}
        std::printf("🛑 Stop signal\n⭕ Network is closed\n");
        close(root);
    }
}

static void block(const char *name, int tokens) {
    std::printf("%s\n", name);
    if (!std::strcmp(name, "Evaluation"))
        std::printf("   nBatches: 32\n");
    std::printf("    nTokens: %d\n   tokens/s: 500.00 (2.00 ms/tok)\n", tokens);
}

static int inference(Options &options) {
    const std::vector<std::string> &workers = options["--workers"];
    std::vector<int> peers;
    for (unsigned k = 0; k < workers.size(); k++) {
        const size_t colon = workers[k].rfind(':');
        sockaddr_in address = address_of(workers[k].substr(0, colon), workers[k].substr(colon + 1));
        int peer = socket(AF_INET, SOCK_STREAM, 0);
        std::printf("⭕ Socket[%u]: connecting to %s worker\n", k, workers[k].c_str());
        if (connect(peer, (sockaddr *)&address, sizeof(address)))
            return die("Cannot connect");
        unsigned greeting[2] = {(unsigned)workers.size() - 1, k};
        send(peer, greeting, sizeof(greeting), 0);
        std::printf("⭕ Socket[%u]: connected\n", k);
        peers.push_back(peer);
    }
    // Every sign of the prompt is a token, and one that begins the text comes before them.
    const std::string prompt = options["--prompt"].at(0);
    const int evaluated = (int)prompt.size();
    const int predicted = std::max(0, std::atoi(options["--steps"].at(0).c_str()) - evaluated);
    const int kb = 21 * (int)workers.size();
    std::printf("💿 Loading weights...\n💿 Weights loaded\n%s\n", prompt.c_str());
    std::printf("🔷️ Eval%5u ms Sync%5u ms | Sent%6d kB Recv%6d kB | (%d tokens)\n",
                evaluated, evaluated, kb, kb, evaluated);
    for (int k = 0; k < predicted; k++)
        std::printf("🔶 Pred%5u ms Sync%5u ms | Sent%6d kB Recv%6d kB |  tok\n", 1, 1, kb, kb);
    std::printf("\n");
    block("Evaluation", evaluated);
    block("Prediction", predicted);
    for (unsigned k = 0; k < peers.size(); k++)
        close(peers[k]);
    std::printf("⭕ Network is closed\n");
    return 0;
}

int main(int argc, char **argv) {
    Options options;
    std::string name;
    for (int k = 2; k < argc; k++) {
        if (!std::strncmp(argv[k], "--", 2))
            name = argv[k];
        else
            options[name].push_back(argv[k]);
    }
    const std::string mode = argc > 1 ? argv[1] : "";
    if (mode == "worker")
        return worker(options);
    if (mode == "inference")
        return inference(options);
    return die("Unsupported mode");
}
