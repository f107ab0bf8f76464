import java.net.InetAddress;
import java.net.InetSocketAddress;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.handler.ContextHandler;
import software.amazon.dynamodb.services.local.server.LocalDynamoDBRequestHandler;
import software.amazon.dynamodb.services.local.server.LocalDynamoDBServerHandler;

/**
 * DynamoDB Local on 127.0.0.1 alone: what its own main class does, short of two things.
 *
 * <p>That class takes a port but no address and listens on every interface; and it is the one that
 * sets the telemetry up. It is not used here, so there is nothing to switch off.
 */
final class LoopbackDynamoDb {
  public static void main(String[] args) throws Exception {
    int port = Integer.parseInt(args[0]);
    boolean inMemory = true;
    String databasePath = null;
    // One set of tables for every region and access key, so a client needs to agree on neither.
    boolean shared = true;
    boolean delayTransientStatuses = false;
    String corsOrigins = null;

    var requests = new LocalDynamoDBRequestHandler(
        port, inMemory, databasePath, shared, delayTransientStatuses);
    var server = new Server(new InetSocketAddress(InetAddress.getByName("127.0.0.1"), port));
    server.setHandler(new ContextHandler(new LocalDynamoDBServerHandler(requests, corsOrigins)));
    server.start();
    server.join();
  }
}
