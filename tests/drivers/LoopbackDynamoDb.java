import java.net.InetAddress;
import java.net.InetSocketAddress;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.handler.ContextHandler;
import software.amazon.dynamodb.services.local.server.LocalDynamoDBRequestHandler;
import software.amazon.dynamodb.services.local.server.LocalDynamoDBServerHandler;

/**
 * Starts DynamoDB Local on 127.0.0.1 only, and without telemetry.
 *
 * <p>Its own main class takes a port but no address, and listens on every interface. That class also
 * sets up the telemetry, so there is nothing to switch off here.
 */
final class LoopbackDynamoDb {
  public static void main(String[] args) throws Exception {
    int port = Integer.parseInt(args[0]);
    boolean inMemory = true;
    String databasePath = null;
    // One set of tables for every region and access key, so that clients may use any.
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
