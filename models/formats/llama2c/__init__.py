"""The formats of llama2.c: `*.bin` weights and `tokenizer.bin`."""
