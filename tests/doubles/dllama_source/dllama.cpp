// As much of dllama 8d624a7 as shows what its callers do to it: the same words, the same exit
// status, the same death of a worker that anything but a root connects to. It computes nothing.
#include "common.hpp"

static int die(const char *why) {
    std::printf("🚨 Critical error: %s\n", why);
    return 1;
}

static bool receive(int peer, unsigned *value) {
    return recv(peer, value, sizeof(*value), MSG_WAITALL) == (ssize_t)sizeof(*value);
}

static int worker(Options &options) {
    const std::string host = options["--host"].at(0), port = options["--port"].at(0);
    for (;;) {
        int listener = listener_at(host, port);
        if (listener < 0)
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
        unsigned what = STEP;
        while (what == STEP && receive(root, &what)) {}
        std::printf(what == STOP ? "🛑 Stop signal\n" : "🚨 Network error: Socket closed\n");
        std::printf("⭕ Network is closed\n");
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
    std::vector<int> peers;
    if (!connect_workers(options["--workers"], peers))
        return die("Cannot connect");
    // Every sign of the prompt is a token, and one that begins the text comes before them.
    const std::string prompt = options["--prompt"].at(0);
    const int evaluated = (int)prompt.size();
    const int predicted = std::max(0, std::atoi(options["--steps"].at(0).c_str()) - evaluated);
    const int kb = 21 * (int)peers.size();
    std::printf("💿 Loading weights...\n💿 Weights loaded\n%s\n", prompt.c_str());
    std::printf("🔷️ Eval%5u ms Sync%5u ms | Sent%6d kB Recv%6d kB | (%d tokens)\n",
                evaluated, evaluated, kb, kb, evaluated);
    for (int k = 0; k < predicted; k++)
        std::printf("🔶 Pred%5u ms Sync%5u ms | Sent%6d kB Recv%6d kB |  tok\n", 1, 1, kb, kb);
    std::printf("\n");
    block("Evaluation", evaluated);
    block("Prediction", predicted);
    tell_workers(peers, STOP);
    close_all(peers);
    std::printf("⭕ Network is closed\n");
    return 0;
}

int main(int argc, char **argv) {
    Options options = options_of(argc, argv, 2);
    const std::string mode = argc > 1 ? argv[1] : "";
    if (mode == "worker")
        return worker(options);
    if (mode == "inference")
        return inference(options);
    return die("Unsupported mode");
}
