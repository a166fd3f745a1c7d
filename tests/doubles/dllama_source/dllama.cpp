// Says what dllama 8d624a7 says when it is asked to do nothing: same words, same exit status.
#include <cstdio>

int main() {
    std::puts("\U0001F6A8 Critical error: Unsupported mode");
    return 1;
}
