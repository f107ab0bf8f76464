"""Starts LocalStack without a container, as it is but for one thing: its DynamoDB.

For that it would download DynamoDB Local and start it on every interface. Here it is told where one runs
already (DYNAMODB_LOCAL_PORT), and has only to keep from starting another.
"""

from localstack.runtime.main import main
from localstack.services.dynamodb.server import DynamodbServer
from localstack.utils.threads import FuncThread

# A thread that is never started: LocalStack waits for the port, and that is open already.
DynamodbServer.do_start_thread = lambda self: FuncThread(lambda *_: None)

main()
