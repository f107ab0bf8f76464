"""Starts LocalStack without a container, and without a DynamoDB of its own.

LocalStack would download DynamoDB Local and start it on every interface. DYNAMODB_LOCAL_PORT tells it
where one runs already; this program keeps it from starting another.
"""

from localstack.runtime.main import main
from localstack.services.dynamodb.server import DynamodbServer
from localstack.utils.threads import FuncThread

# A thread that is never started: LocalStack waits for the port, which is open already.
DynamodbServer.do_start_thread = lambda self: FuncThread(lambda *_: None)

main()
