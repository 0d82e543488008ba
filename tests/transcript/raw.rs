//! Requests that are bytes rather than commands: inline forms, malformed ones, silence, goodbyes. Each is one
//! connection, whose whole output is compared.

/// In RESP, escaped as in Rust; each ends in a request or an error that closes the connection.
///
/// Not among them: a NUL byte in a header line. Redis looks for the end of the line behind it in vain and waits for
/// ever; slotmux says what is wrong. Nor an argument without CRLF: Redis skips two bytes whatever they are; slotmux
/// could not pass it on and refuses it. Nor QUIT under CLIENT REPLY OFF, where Redis keeps the connection open.
pub const SESSIONS: &[&[u8]] = &[
    b"PING\r\nQUIT\r\n",
    b"PING\nping hello\nQUIT\n",
    b"\r\n\n\r\nPING\r\n\r\nQUIT\r\n",
    b"  SET   raw:a   1  \r\nGET raw:a\r\n\tGET\traw:a\t\r\nQUIT\r\n",
    b"SET raw:a \"b c\\x00\\r\\n\\\"\"\r\nGET raw:a\r\nQUIT\r\n",
    b"SET raw:a 'single \\'quoted\\' \\n'\r\nGET raw:a\r\nQUIT\r\n",
    b"SET raw:a \"\"\r\nGET raw:a\r\nGET ''\r\nQUIT\r\n",
    b"PING\r\nSET raw:a \"unbalanced\r\nPING\r\n",
    b"SET raw:a \"x\"y\r\n",
    b"SET raw:a 'x\r\n",
    b"\"\"\r\nQUIT\r\n",
    b"$5\r\nECHO\r\nQUIT\r\n",
    b"+OK\r\n:1\r\n-ERR\r\nQUIT\r\n",
    b"*0\r\n*-1\r\n*-5\r\nPING\r\n*1\r\n$4\r\nQUIT\r\n",
    b"*1\r\n$4\r\nPING\r\nPING inline\r\n*2\r\n$4\r\nPING\r\n$4\r\nresp\r\nQUIT\r\n",
    b"*x\r\n",
    b"*\r\n",
    b"*1x\r\n",
    b"* 1\r\n",
    b"*99999999999999999999\r\n",
    b"*2147483648\r\n",
    b"*1\r\n:1\r\n",
    b"*1\r\n\r\n",
    b"*1\r\n\xff\r\n",
    b"*1\r\n$-1\r\n",
    b"*1\r\n$x\r\n",
    b"*1\r\n$\r\n",
    b"*1\r\n$99999999999\r\n",
    b"*1\r\n$536870913\r\n",
    b"*2\r\n$3\r\nGET\r\n*1\r\n",
    b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\nQUIT\r\n",
    b"*3\r\n$3\r\nSET\r\n$5\r\nraw:b\r\n$1\r\nx\r\n*2\r\n$3\r\nGET\r\n$5\r\nraw:b\r\n*q\r\n",
    b"POST / HTTP/1.1\r\nHost: raw\r\n\r\nPING\r\n",
    b"Host: raw\r\nPING\r\n",
    b"*2\r\n$4\r\npOsT\r\n$1\r\n/\r\n*1\r\n$4\r\nPING\r\n",
    b"GET raw:b\r\n*1\r\nbad\r\nGET raw:b\r\n",
    b"SET raw:c 1\r\nINCR raw:c\r\nQUIT\r\nINCR raw:c\r\n",
    b"GET raw:c\r\nQUIT now please\r\n",
    b"HELLO 3\x20FOO\r\nQUIT\r\n",
    b"DEL raw:h\r\nHSET raw:h f v\r\nHGETALL raw:h\r\nGET nosuch\r\nQUIT\r\n",
    b"CLIENT REPLY OFF\r\nSET raw:d 1\r\nMSET raw:d 1 raw:e 2\r\nPING\r\nNOSUCH\r\nCLIENT REPLY ON\r\nMGET raw:d raw:e\r\nQUIT\r\n",
    b"CLIENT REPLY SKIP\r\nSET raw:d 5\r\nGET raw:d\r\nCLIENT REPLY SKIP\r\nNOSUCH\r\nMGET raw:d raw:e\r\nQUIT\r\n",
    b"CLIENT REPLY SKIP\r\nMGET raw:d raw:e\r\nGET raw:d\r\nCLIENT REPLY SKIP\r\nDBSIZE\r\nPING\r\nQUIT\r\n",
    b"CLIENT REPLY SKIP\r\nGET\r\nGET raw:d\r\nCLIENT REPLY SKIP\r\nPING\r\nQUIT\r\n",
    b"MULTI\r\nSET raw:g 1\r\nRESET\r\nEXEC\r\nEXISTS raw:g\r\nMULTI\r\nSET raw:g 1\r\nQUIT\r\nEXEC\r\n",
    b"CLIENT REPLY SKIP\r\nMULTI\r\nPING\r\nEXEC\r\nPING\r\nQUIT\r\n",
    b"CLIENT REPLY OFF\r\nMULTI\r\nSET raw:g 1\r\nNOSUCH\r\nEXEC\r\nMULTI\r\nSET raw:g 2\r\nEXEC\r\nCLIENT REPLY ON\r\nGET raw:g\r\nQUIT\r\n",
    b"CLIENT SETNAME raw\r\nCLIENT GETNAME\r\nRESET\r\nCLIENT GETNAME\r\nQUIT\r\n",
    b"SET raw:f 1\r\nINCR raw:f\r\nRESET\r\nINCR raw:f\r\nGET nosuch\r\nQUIT\r\n",
];

/// With a password that the client has yet to give.
pub const LOCKED_SESSIONS: &[&[u8]] = &[
    b"EXEC\r\nEXEC x\r\nPING\r\nGET a\r\nNOSUCH\r\nGET\r\nMULTI\r\nMGET a b c\r\nDBSIZE\r\nEVAL 1 0\r\nCOMMAND\r\nSHUTDOWN\r\nQUIT\r\n",
    b"SUBSCRIBE a\r\nBLPOP a 0\r\nCLIENT FOO\r\nSELECT 0\r\nECHO a\r\nCLIENT REPLY OFF\r\nRESET\r\nQUIT\r\n",
    b"AUTH bad\r\nAUTH default bad\r\nAUTH nobody secret\r\nAUTH\r\nAUTH a b c\r\nGET a\r\nAUTH secret\r\nGET a\r\nQUIT\r\n",
    b"AUTH default secret\r\nSET locked 1\r\nGET locked\r\nAUTH bad\r\nGET locked\r\nRESET\r\nGET locked\r\nQUIT\r\n",
    b"HELLO\r\nHELLO 3\r\nHELLO 2\r\nHELLO 4\r\nHELLO 3 AUTH default bad\r\nGET a\r\nHELLO 3 SETNAME x\r\nQUIT\r\n",
    b"HELLO 3 AUTH default secret FOO\r\nGET a\r\nQUIT\r\n",
    b"POST / HTTP/1.1\r\n\r\nPING\r\n",
    b"*11\r\n",
    b"*2\r\n$3\r\nGET\r\n$16385\r\n",
    b"*10\r\n$4\r\nMGET\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\nQUIT\r\n",
];
