/* StartJava KIND: ProcessBuilder, with or without the parent's streams. The launch mechanism is the
 * virtual machine's property jdk.lang.Process.launchMechanism.
 * Expected: a start with argv ["/bin/true", "mark"]. */
public class StartJava {
    public static void main(String[] args) throws Exception {
        ProcessBuilder builder = new ProcessBuilder("/bin/true", "mark");
        if (args[0].equals("inherit_io")) {
            builder.inheritIO();
        }
        System.exit(builder.start().waitFor());
    }
}
