// As much of dllama-api 8d624a7 as shows what its callers do to it and must do without: a
// connection without a request ends it, so does what it cannot read; no usage in a stream, no
// reason but `stop`, the temperature of its start whatever a request says. Its words are invented.
#include "common.hpp"

#include <fstream>
#include <sstream>
#include <stdexcept>

static const char *DATED = "\"created\":1795400030,";
static const char *SAID_BY = "\"model\":\"Distributed Model\",\"object\":\"chat.completion\"";
static const unsigned TOKEN_US = 5000, CHAT_TEMPLATE_KEY = 7;
static const int DEFAULT_TOKENS = 16;

struct WorkerGone : std::runtime_error {
    WorkerGone() : std::runtime_error("Execution failed in one of the threads") {}
};
struct ClientGone {};

static std::string value(Options &options, const char *name, const char *otherwise) {
    return options[name].empty() ? otherwise : options[name][0];
}

// The template in the header of a .t file; empty if it has none.
static std::string template_in(const std::string &tokenizer) {
    std::ifstream file(tokenizer.c_str(), std::ios::binary);
    unsigned magic, header_bytes, pair[2], length = 0;
    file.read((char *)&magic, 4).read((char *)&header_bytes, 4);
    for (unsigned k = 0; k < (header_bytes - 8) / 8; k++) {
        file.read((char *)pair, 8);
        if (pair[0] == CHAT_TEMPLATE_KEY)
            length = pair[1];
    }
    std::string found(length, '\0');
    file.read(&found[0], length);
    return found;
}

static std::string template_name(Options &options) {
    const std::string named = value(options, "--chat-template", "");
    if (!named.empty())
        return named;
    static const char *marks[][2] = {{"[INST]", "llama2"},
                                     {"<|start_header_id|>", "llama3"},
                                     {"<｜Assistant｜>", "deepSeek3"},
                                     {"<|im_start|>", "chatml"}};
    const std::string own = template_in(value(options, "--tokenizer", ""));
    if (own.empty())
        throw std::runtime_error("The tokenizer does not include chat template");
    for (auto &mark : marks)
        if (own.find(mark[0]) != std::string::npos)
            return mark[1];
    throw std::runtime_error("Not supported chat template");
}

static void put(int client, const std::string &data) {
    if (send(client, data.data(), data.size(), MSG_NOSIGNAL) != (ssize_t)data.size())
        throw ClientGone();
}

static void chunk(int client, const std::string &data) {
    std::ostringstream framed;
    framed << std::hex << data.size() << "\r\n" << data << "\r\n";
    put(client, framed.str());
}

static void event(int client, const std::string &choice) {
    chunk(client, "data: {\"choices\":[{" + choice + ",\"index\":0}]," + DATED + "\"id\":\"cmpl-c0\"," +
                      SAID_BY + "}\r\n\r\n");
}

static const char *OK_HEAD = "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\n";

static void json(int client, const std::string &body) {
    put(client, OK_HEAD + std::string("Content-Type: application/json; charset=utf-8\r\n") +
                    "Connection: close\r\nContent-Length: " + std::to_string(body.size()) +
                    "\r\n\r\n" + body);
}

static std::string request_from(int client, std::string *body) {
    std::string head;
    char buffer[65536];
    while (head.find("\r\n\r\n") == std::string::npos) {
        const ssize_t got = recv(client, buffer, sizeof(buffer), 0);
        if (got <= 0)
            throw std::runtime_error("Error while reading headers from socket");
        head.append(buffer, got);
    }
    const size_t end = head.find("\r\n\r\n") + 4, told = head.find("\r\nContent-Length: ");
    const size_t length = told < end ? std::atoi(head.c_str() + told + 18) : 0;
    *body = head.substr(end);
    while (body->size() < length) {
        const ssize_t got = recv(client, buffer, sizeof(buffer), 0);
        if (got <= 0)
            throw std::runtime_error("Error while reading body from socket");
        body->append(buffer, got);
    }
    return head.substr(0, head.find(" HTTP/"));
}

// What stands behind a key for the last time; empty if nothing does. Keys in a text are escaped.
static std::string field(const std::string &body, const std::string &key) {
    const size_t at = body.rfind("\"" + key + "\":");
    if (at == std::string::npos)
        return "";
    return body.substr(body.find_first_not_of(' ', at + key.size() + 3));
}

static std::string question(const std::string &body) {
    const std::string content = field(body, "content");
    if (content.empty() || content[0] != '"')
        throw std::runtime_error("[json.exception.type_error.302] type must be string, but is array");
    size_t end = 1;
    while (end < content.size() && content[end] != '"')
        end += content[end] == '\\' ? 2 : 1;
    return content.substr(1, end - 1);
}

static void complete(int client, const std::string &body, Options &options, std::vector<int> &peers) {
    const std::string asked = question(body), most = field(body, "max_tokens");
    const int tokens = most.empty() ? DEFAULT_TOKENS : std::atoi(most.c_str());
    const bool stream = !field(body, "stream").compare(0, 4, "true");
    const bool greedy = std::atof(value(options, "--temperature", "0.8").c_str()) == 0;
    std::printf("🔹%s🔸", asked.c_str());
    if (stream)
        put(client, OK_HEAD + std::string("Content-Type: text/event-stream; charset=utf-8\r\n") +
                        "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n");
    unsigned chance = greedy ? 0 : std::atoi(field(body, "seed").c_str());
    std::string text;
    for (int k = 0; k < tokens; k++) {
        if (!tell_workers(peers, STEP))
            throw WorkerGone();
        usleep(TOKEN_US);
        chance = chance * 1103515245u + 12345u + (unsigned)asked.size();
        char piece[16];
        std::snprintf(piece, sizeof(piece), " tok%05u", chance / 65536 % 4096);
        std::printf("%s", piece);
        text += piece;
        if (stream)
            event(client, "\"delta\":{\"content\":\"" + std::string(piece) +
                              "\",\"role\":\"assistant\"},\"finish_reason\":\"\"");
    }
    if (stream) {
        event(client, "\"finish_reason\":\"stop\"");
        chunk(client, "data: [DONE]");
        put(client, "0000\r\n\r\n");
    } else {
        const size_t read = asked.size();
        json(client, "{\"choices\":[{\"finish_reason\":\"\",\"index\":-1606327712,\"message\":"
                     "{\"content\":\"" + text + "\",\"role\":\"assistant\"}}]," + DATED +
                     "\"id\":\"cmpl-j0\"," + SAID_BY + ",\"usage\":{\"completion_tokens\":" +
                     std::to_string(tokens) + ",\"prompt_tokens\":" + std::to_string(read) +
                     ",\"total_tokens\":" + std::to_string(read + tokens) + "}}");
    }
    std::printf("🔶\n");
}

static void answer(int client, Options &options, std::vector<int> &peers) {
    std::string body;
    const std::string request = request_from(client, &body);
    std::printf("🔷 %s\n", request.c_str());
    const std::string model = value(options, "--model", "");
    if (!request.compare(0, 8, "OPTIONS "))
        put(client, "HTTP/1.1 204 No Content\r\nAccess-Control-Allow-Origin: *\r\n"
                    "Access-Control-Allow-Methods: GET, POST, PUT, DELETE\r\n"
                    "Access-Control-Allow-Headers: Content-Type, Authorization\r\n"
                    "Connection: close\r\n\r\n");
    else if (request == "GET /v1/models")
        json(client, "{\"data\":[{\"created\":0,\"id\":\"" + model.substr(model.rfind('/') + 1) +
                         "\",\"object\":\"model\",\"owned_by\":\"user\"}],\"object\":\"list\"}");
    else if (request == "POST /v1/chat/completions")
        complete(client, body, options, peers);
    else
        put(client, "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 9\r\n\r\n"
                    "Not Found");
}

// Serves until a worker is gone.
static void serve(Options &options, std::vector<int> &peers) {
    const std::string host = value(options, "--host", "0.0.0.0"), port = value(options, "--port", "9990");
    std::printf("💿 Loading weights...\n💿 Weights loaded\n");
    const int listener = listener_at(host, port);
    if (listener < 0)
        throw std::runtime_error("Cannot bind port: Address already in use");
    std::printf("Listening on %s:%s...\n", host.c_str(), port.c_str());
    std::printf("⭐ Chat template: %s\n", template_name(options).c_str());
    std::printf("Server URL: http://localhost:%s/v1/\n", port.c_str());
    for (;;) {
        const int client = accept(listener, nullptr, nullptr);
        try {
            answer(client, options, peers);
        } catch (const ClientGone &) {
            std::printf("Socket error: 0 Error writing to socket\n");
        } catch (const WorkerGone &) {
            std::printf("🚨 Execution error: Socket closed\n⭕ Network is closed\n");
            close(client);
            close(listener);
            throw;
        }
        close(client);
    }
}

int main(int argc, char **argv) {
    Options options = options_of(argc, argv, 1);
    for (;;) {
        std::vector<int> peers;
        try {
            if (connect_workers(options["--workers"], peers))
                serve(options, peers);
            std::printf("🚨 Connection error: Cannot connect\n");
        } catch (const WorkerGone &gone) {
            std::printf("🚨 Inference error: %s\n", gone.what());
        }
        close_all(peers);
        std::printf("🔄 Retrying in 3 seconds...\n");
        sleep(3);
    }
}
