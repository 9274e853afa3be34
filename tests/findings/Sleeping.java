/** Sleeping.java MS TIMES: Thread.sleep for so long so many times. The cost is what that took. */
public class Sleeping {
    public static void main(String[] args) throws InterruptedException {
        long began = System.nanoTime();
        for (int left = Integer.parseInt(args[1]); left > 0; left--) {
            Thread.sleep(Integer.parseInt(args[0]));
        }
        long cost = System.nanoTime() - began;
        System.out.println("{\"self\": " + ProcessHandle.current().pid() + ", \"cost_ns\": " + cost + "}");
    }
}
