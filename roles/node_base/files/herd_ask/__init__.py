"""Asks a server over HTTP or HTTPS and writes down when each piece of an answer came.

    herd-ask [OPTION...] URL SILENCE_S QUESTION...

QUESTION is JSON: {"id": ..., "body": {...}}; the body is sent as it is, and must ask for a stream.
Understood are the streams of OpenAI's chat completions and completions (OpenAI, llama-server,
dllama-api, vLLM, ...) and of llama-server's own /completion. Questions are asked one after the
other, each once, on a separate connection. Certificates are checked; redirections are refusals.
A proxy that https_proxy or http_proxy names is used, unless no_proxy exempts the server or it is on
this machine: for https as a tunnel, through which the proxy sees nothing but the server's name.

    --key-env NAME   send the key that this environment variable holds; it is written nowhere
    --retries N      ask again, at most N times, after 429, 5xx or a connection that broke, but
                     never once a piece came; wait as the server says (Retry-After), or at random
                     up to a bound that doubles
    --keep           keep each whole answer as a file in the folder that HERD_CASSETTES names
    --replay         answer from these files and ask no API
    --with-parent    end when standard input does

Standard output is a line of JSON for each question:

    id            of the question
    url           that was asked
    proxy         by which it was asked, HOST:PORT; null for none
    status        of HTTP; null if no answer came
    connect_s, sent_s, first_byte_s, first_piece_s, last_piece_s, done_s
                  moments by CLOCK_MONOTONIC of this machine in seconds: connecting begins, the
                  request is sent, the head of the answer is there, the first and the last piece
                  that is not empty, the end; null where it did not come to that
    pieces        [moment, text] of each piece that is not empty
    text          all pieces together
    refusal       what the server says instead of an answer; null if it does not refuse
    finish_reason as the server says it; null if it says none
    usage         as the server says it, without counts of tokens that can be none; null if it says
                  none
    left_out      what of that was left out, in words
    timings       the server's own, in words
    probabilities of each token, as the server says them; null if it says none
    model, system_fingerprint
                  that answered, as the server says it; null if it does not
    headers       of the answer: those that name the request and give limits
    earlier       the tries before this one: status, error, connect_s, done_s, wait_s (in seconds,
                  after it)
    replayed      whether it comes from a file
    error         why this is no whole answer; null if it is one

It ends with 0 if all questions were answered. At the first that is not, it ends with 1: what
failed may not be there for the next. It ends with 3 where another try cannot succeed: the key
is refused, the account is used up, the certificate is wrong, there is no file to answer from. It
ends with 4 if all were answered, but not so that the answers could be used: asking again would cost
again.

No answer takes more memory or time than what was asked for can need: so many bytes for a token
that the body allows (`max_tokens` or its like) and for what it holds itself, so many seconds.
Python 3.9 and its standard library: what every node has. There, these modules
are one file (`core/packing.py`).
"""
