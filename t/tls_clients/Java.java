// A device over Java's JSSE; what it does stands in device.c. The keys are
// updated by themselves, here after 64 KB.

import java.io.BufferedInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.security.Security;
import java.security.cert.X509Certificate;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509TrustManager;

public class Java {
    private static InputStream in;
    private static OutputStream out;

    private static class TrustAll implements X509TrustManager {
        public void checkClientTrusted(X509Certificate[] c, String type) {}
        public void checkServerTrusted(X509Certificate[] c, String type) {}
        public X509Certificate[] getAcceptedIssuers() {
            return new X509Certificate[0];
        }
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.ISO_8859_1);
    }

    private static String text(byte[] data) {
        return new String(data, StandardCharsets.ISO_8859_1);
    }

    private static String takeLine() throws IOException {
        StringBuilder line = new StringBuilder();

        for (int c = in.read(); c != '\n'; c = in.read()) {
            if (c < 0) {
                throw new EOFException();
            }

            line.append((char) c);
        }

        return line.toString().trim();
    }

    private static byte[] takeChunk() throws IOException {
        byte[] data = in.readNBytes(Integer.parseInt(takeLine(), 16));
        in.readNBytes(2);
        return data;
    }

    private static void sendChunk(byte[] data) throws IOException {
        out.write(bytes(Integer.toHexString(data.length) + "\r\n"));
        out.write(data);
        out.write(bytes("\r\n"));
    }

    private static SSLSocket connect(int port, String version)
            throws Exception {
        Security.setProperty("jdk.tls.keyLimits",
            "AES/GCM/NoPadding KeyUpdate 65536,"
            + " ChaCha20-Poly1305 KeyUpdate 65536");

        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, new TrustManager[] { new TrustAll() }, null);

        SSLSocket socket = (SSLSocket) context.getSocketFactory()
            .createSocket("127.0.0.1", port);
        socket.setTcpNoDelay(true);
        socket.setEnabledProtocols(new String[] { "TLSv" + version });
        socket.startHandshake();

        in = new BufferedInputStream(socket.getInputStream());
        out = socket.getOutputStream();
        return socket;
    }

    private static void attach(String device) throws IOException {
        out.write(bytes("POST /v1/applications/app1/devices/" + device
            + " HTTP/1.1\r\nHost: localhost\r\n"
            + "Transfer-Encoding: chunked\r\n\r\n"));

        String status = takeLine();

        while (!takeLine().isEmpty()) {
        }

        if (!status.contains(" 200 ")
                || !text(takeChunk()).startsWith("{\"msg\":\"200\"")) {
            throw new IOException(status);
        }
    }

    private static byte[] reply(byte[] call) {
        byte[] data = new byte[Integer.parseInt(text(call).split(" ")[0])];

        for (int i = 0; i < data.length; i++) {
            data[i] = call[i % call.length];
        }

        return data;
    }

    // The end of a connection without close_notify is an SSLException.

    private static void leave(SSLSocket socket) throws IOException {
        sendChunk(bytes("leaving"));
        socket.shutdownOutput();

        try {
            in.readAllBytes();
            System.out.println("closed");
        } catch (SSLException e) {
            System.out.println("cut off");
        }
    }

    public static void main(String[] args) throws Exception {
        SSLSocket socket = connect(Integer.parseInt(args[0]), args[1]);

        attach(args[2]);
        System.out.println("attached " + socket.getSession().getProtocol()
            + " " + socket.getSession().getCipherSuite());

        for (;;) {
            byte[] call = takeChunk();

            switch (text(call)) {
            case "leave":
                leave(socket);
                return;
            case "update":
                sendChunk(bytes("cannot"));
                break;
            default:
                sendChunk(reply(call));
            }
        }
    }
}
